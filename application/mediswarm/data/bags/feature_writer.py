"""Writing feature files, for synthetic cohorts and for bags that come from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediswarm.data.bags.feature_file import LEGACY_TILE_PX, LEGACY_TILE_UM, Kind

_STAMP_VERSION = "2.4.0"


def write_features(
    path: Path,
    features: npt.NDArray[Any],
    coords: npt.NDArray[Any] | None = None,
    *,
    extractor: str,
    kind: Kind = "tile",
    tile_size_um: float = LEGACY_TILE_UM,
    tile_size_px: int = LEGACY_TILE_PX,
) -> None:
    """Write a feature file of STAMP's present form.

    Args:
        path: the file, made anew; its folder is made too.
        features: [tiles, F], or [F] for a slide or patient; stored as float16.
        coords: [tiles, 2] in µm, the corner of each tile; None writes a file without them.
        extractor: name of what made the features, with `-<hash>` if it has one.
        kind: what the features are of.
        tile_size_um: edge of a tile.
        tile_size_px: edge of what the extractor was given.
    """
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["feats"] = features.astype(np.float16)
        file.attrs["stamp_version"] = _STAMP_VERSION
        file.attrs["code_hash"] = ""
        file.attrs["feat_type"] = kind
        if kind != "tile":
            file.attrs["encoder"] = extractor
            file.attrs["precision"] = "float16"
            file.attrs["version"] = _STAMP_VERSION
            return
        if coords is not None:
            file["coords"] = coords.astype(np.float32)
        file.attrs["extractor"] = extractor
        file.attrs["unit"] = "um"
        file.attrs["tile_size_um"] = float(tile_size_um)
        file.attrs["tile_size_px"] = int(tile_size_px)
