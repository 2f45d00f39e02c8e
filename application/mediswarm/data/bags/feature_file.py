"""What an H5 file of features says of itself: STAMP's format, with its older forms.

One file for each slide: `feats` [tiles, features] (or `patch_embeddings`, which comes
without coordinates) and `coords` [tiles, 2]; or one vector for a slide or patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mediswarm.errors import DataError

if TYPE_CHECKING:
    import h5py

Kind = Literal["tile", "slide", "patient"]
Status = tuple[int, int, int]

FEATURE_DATASETS = ("feats", "patch_embeddings")
LEGACY_TILE_PX = 224
LEGACY_TILE_UM = 256.0
"""Files without a unit have coordinates in pixels of which 224 are 256 µm."""

HASH = "[0-9a-f]{8,64}"
"""The pattern of the hash that may follow an extractor's name."""

_NAME_AND_HASH = re.compile(rf"(.+)-({HASH})")
_STRIDE_TOLERANCE_PX = 0.5
_MOST_DIMENSIONS = 2


@dataclass(frozen=True)
class FeatureHeader:
    """One feature file without its numbers.

    `extractor` is without the hash that may follow its name; None where the file does not
    say. `um_per_unit` makes µm of the coordinates as they stand in the file. The offsets are
    the bytes at which float16 features and float32 coordinates lie in one piece, None where
    they are stored otherwise. `status` tells a file that was changed since.
    """

    kind: Kind
    extractor: str | None
    extractor_hash: str
    tiles: int
    features: int
    tile_size_um: float | None
    tile_size_px: int | None
    has_coords: bool
    um_per_unit: float
    version: str
    dataset: str
    features_offset: int | None
    coords_offset: int | None
    status: Status


def read_header(path: Path) -> FeatureHeader:
    """Read the attributes and shapes of a feature file.

    Raises:
        DataError: MS-B001 no readable HDF5 file, MS-B002 not one array of features, MS-B003 its
            shape or type, MS-B004 the coordinates' shape, MS-B005 their unit or the tile size,
            MS-B006 tiles, slide or patient.
    """
    with open_features(path) as (file, status):
        said = _Attributes(path, file)
        named, encoder = said.text("extractor"), said.text("encoder")
        kind = _kind(path, said.text("feat_type"), encoder)
        name, array = _features(path, file)
        tiles, features = _shape(path, kind, array)
        coords = _coords(path, file, tiles) if kind == "tile" else None
        size_um, size_px, um_per_unit = _tile_size(path, said, coords)
        extractor, extractor_hash = extractor_and_hash(named if kind == "tile" else encoder or named)
        return FeatureHeader(
            kind=kind,
            extractor=extractor,
            extractor_hash=extractor_hash,
            tiles=tiles,
            features=features,
            tile_size_um=size_um,
            tile_size_px=size_px,
            has_coords=coords is not None,
            um_per_unit=um_per_unit,
            version=said.text("stamp_version") or "",
            dataset=name,
            features_offset=_offset(array, "<f2"),
            coords_offset=_offset(coords, "<f4") if coords is not None else None,
            status=status,
        )


@contextmanager
def open_features(path: Path) -> Iterator[tuple[h5py.File, Status]]:
    """The open HDF5 file, and its status; what goes wrong in it becomes DataError MS-B001."""
    import h5py

    try:
        status = file_status(path)
        # without locks, which some network file systems refuse: nobody writes to these files
        with h5py.File(path, "r", locking=False) as file:
            yield file, status
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError("MS-B001", _why(path, error), file=path) from error


def file_status(path: Path) -> Status:
    """Size, time of the last change and number of a file. Raises OSError."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the feature file is missing"
    if isinstance(error, PermissionError):
        return "the feature file cannot be opened (permission denied)"
    if isinstance(error, OSError) and "truncated" in str(error):
        return "the feature file is truncated"
    if path.is_dir():
        return "this is a folder, not a feature file"
    return "the file is damaged, or no HDF5 file"


class _Attributes:
    """Attributes of a file as text or numbers, however they were written."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.attributes = path, file.attrs

    def text(self, name: str) -> str | None:
        value = self.attributes.get(name)
        if isinstance(value, np.ndarray):
            value = value.item() if value.size == 1 else None
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return None if value is None else str(value).strip() or None

    def size(self, name: str) -> float | None:
        """A size, which must be a positive number."""
        text = self.text(name)
        try:
            value = None if text is None else float(text)
        except ValueError:
            value = float("nan")
        if value is not None and not 0 < value < float("inf"):
            raise DataError("MS-B005", f"the attribute {name} is {text!r}, not a size", file=self.path)
        return value


def _kind(path: Path, said: str | None, encoder: str | None) -> Kind:
    if said is None and encoder is None:
        return "tile"
    for kind in get_args(Kind):
        if said == kind:
            return kind  # type: ignore[no-any-return]
    what = f"the attribute feat_type is {said!r}" if said else "the file names an encoder and no feat_type"
    raise DataError("MS-B006", what, file=path)


def _features(path: Path, file: h5py.File) -> tuple[str, h5py.Dataset]:
    found = [name for name in FEATURE_DATASETS if name in file]
    if len(found) != 1:
        holds = ", ".join(sorted(file)) or "nothing"
        raise DataError(
            "MS-B002", f"the file holds {holds}; one of {' and '.join(FEATURE_DATASETS)} must be", file=path
        )
    array = file[found[0]]
    if not hasattr(array, "dtype"):
        raise DataError("MS-B002", f"{found[0]} is a group, not a dataset", file=path)
    return found[0], array


def _shape(path: Path, kind: Kind, array: h5py.Dataset) -> tuple[int, int]:
    shape = tuple(array.shape or ())
    if array.dtype.kind != "f":
        raise DataError("MS-B003", f"the features are of type {array.dtype}", file=path)
    if kind != "tile" and len(shape) == 1:
        shape = (1, *shape)
    fits = len(shape) == _MOST_DIMENSIONS and min(shape) > 0 and (kind == "tile" or shape[0] == 1)
    if not fits:
        raise DataError("MS-B003", f"features of kind {kind} have the shape {list(shape)}", file=path)
    return int(shape[0]), int(shape[1])


def _coords(path: Path, file: h5py.File, tiles: int) -> h5py.Dataset | None:
    if "coords" not in file:
        return None
    coords = file["coords"]
    shape = getattr(coords, "shape", None)
    if shape != (tiles, 2) or coords.dtype.kind not in "fiu":
        raise DataError(
            "MS-B004", f"coords have the shape {shape and list(shape)} for {tiles} tiles", file=path
        )
    return coords


def _tile_size(
    path: Path, said: _Attributes, coords: h5py.Dataset | None
) -> tuple[float | None, int | None, float]:
    """Tile size in µm and in pixels, and the factor from the file's coordinates to µm."""
    unit, size, size_px = said.text("unit"), said.size("tile_size"), said.size("tile_size_px")
    size_um = said.size("tile_size_um")
    pixels = round(size_px) if size_px is not None else None
    if unit not in (None, "um"):
        raise DataError("MS-B005", f"the attribute unit is {unit!r}, not 'um'", file=path)
    if unit == "um" and size_um is None:
        size_um = size
    if size_um is not None or coords is None:
        return size_um, pixels, 1.0
    if unit == "um":
        raise DataError("MS-B005", "the file does not say the tile size", file=path)
    stride = _stride(coords[:])
    if not _is_legacy(size, stride):
        shown = "cannot be seen" if stride is None else f"is {stride:g}"
        named = "" if size is None else f" (tile_size is {size:g})"
        raise DataError(
            "MS-B005",
            f"the file names no unit, and the distance of its tiles {shown}{named}; "
            f"only {LEGACY_TILE_PX} is known",
            file=path,
        )
    return LEGACY_TILE_UM, LEGACY_TILE_PX, LEGACY_TILE_UM / LEGACY_TILE_PX


def _is_legacy(size: float | None, stride: float | None) -> bool:
    """Whether coordinates are pixels of which a tile has 224.

    A tile size of 224 can be one in pixels beside coordinates in µm: the tiles must lie so, too. Where it
    is said, few tiles may lie several sizes apart.
    """
    if size is not None and abs(size - LEGACY_TILE_PX) > _STRIDE_TOLERANCE_PX:
        return False
    if stride is None:
        return size is not None
    steps = 1 if size is None else max(1, round(stride / LEGACY_TILE_PX))
    return abs(stride - steps * LEGACY_TILE_PX) <= _STRIDE_TOLERANCE_PX


def _stride(coords: np.ndarray[Any, Any]) -> float | None:
    """The least distance of two tiles along an axis; None where there is none."""
    gaps = np.concatenate([np.diff(np.unique(axis)) for axis in np.asarray(coords, dtype=np.float64).T])
    gaps = gaps[gaps > _STRIDE_TOLERANCE_PX]  # less is rounding
    return float(gaps.min()) if len(gaps) else None


def extractor_and_hash(said: str | None) -> tuple[str | None, str]:
    """An extractor's name without the hash that may follow it, and the hash or the empty string."""
    match = _NAME_AND_HASH.fullmatch(said or "")
    return (match[1], match[2]) if match else (said, "")


def _offset(array: h5py.Dataset, kind: str) -> int | None:
    """The byte at which the numbers lie in one piece; None for chunks, filters or another type."""
    if array.dtype != np.dtype(kind) or array.external:
        return None
    offset = array.id.get_offset()
    return None if offset is None else int(offset)
