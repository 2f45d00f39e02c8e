"""The tiles of a feature file: all of them, or some rows without reading the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from mediswarm.data.bags.feature_file import FeatureHeader, Status, file_status, open_features, read_header
from mediswarm.errors import DataError

Features = npt.NDArray[np.float16]
Coords = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_SPARSE = 4
"""Where more than one tile of so many is wanted, reading all at once is faster than one by one."""


def read_tiles(
    path: Path, rows: Rows | slice | None = None, header: FeatureHeader | None = None
) -> tuple[Features, Coords]:
    """Read tiles of a feature file.

    Where the numbers lie in one piece, as STAMP writes them, only the rows asked for are read.

    Args:
        path: the file.
        rows: numbers of the tiles, ascending; all of them if omitted.
        header: what :func:`read_header` gave for it, if that was read before.

    Returns:
        Features [n, F] and coordinates [n, 2] in µm, zeros where the file has none.

    Raises:
        DataError: MS-B001 to MS-B006, MS-B008 a value that does not fit into float16,
            MS-B009 the file was changed since `header` was read.
    """
    header = header or read_header(path)
    if isinstance(rows, slice):
        rows = np.arange(header.tiles)[rows]
    plain = PlainTiles.of(path, header)
    if plain is not None:
        return plain.read(rows)
    return _decoded(path, header, rows)


@dataclass(frozen=True)
class PlainTiles:
    """Where a file holds float16 features, and float32 coordinates if any, each in one piece."""

    file: Path
    status: Status
    tiles: int
    features: int
    features_offset: int
    coords_offset: int | None
    um_per_unit: float

    @classmethod
    def of(cls, path: Path, header: FeatureHeader) -> Self | None:
        """None where the numbers of the feature file are compressed, in chunks or of another type."""
        if header.features_offset is None or (header.has_coords and header.coords_offset is None):
            return None
        return cls(
            path,
            header.status,
            header.tiles,
            header.features,
            header.features_offset,
            header.coords_offset,
            header.um_per_unit,
        )

    def read(self, rows: Rows | None = None) -> tuple[Features, Coords]:
        """Features and coordinates in µm of some tiles, or of all.

        Files are read, not mapped: a map of a file that someone shortens kills the process.

        Raises:
            DataError: MS-B001 the file cannot be read, MS-B009 it was changed.
        """
        if rows is not None and self.tiles <= _SPARSE * len(rows):
            features, coords = self.read()
            return features[rows], coords[rows]
        count = self.tiles if rows is None else len(rows)
        features = np.empty((count, self.features), dtype="<f2")
        coords = np.zeros((count, 2), dtype="<f4")
        try:
            with self.file.open("rb", buffering=0) as stream:
                if file_status(self.file) != self.status:
                    raise DataError("MS-B009", "the file was changed since it was checked", file=self.file)
                _read_rows(stream.fileno(), self.features_offset, features, rows)
                if self.coords_offset is not None:
                    _read_rows(stream.fileno(), self.coords_offset, coords, rows)
        except (OSError, EOFError) as error:
            raise DataError("MS-B001", "the feature file cannot be read", file=self.file) from error
        coords *= np.float32(self.um_per_unit)
        return features, coords


def _read_rows(descriptor: int, offset: int, out: npt.NDArray[Any], rows: Rows | None) -> None:
    into = memoryview(out.reshape(-1).view(np.uint8).data)
    if rows is None:
        _read(descriptor, offset, into)
        return
    width = out.itemsize * out.shape[1]
    for index, row in enumerate(rows.tolist()):
        _read(descriptor, offset + row * width, into[index * width : (index + 1) * width])


def _read(descriptor: int, offset: int, into: memoryview) -> None:
    """Fill `into`; a single call gives at most 2 GiB."""
    while len(into):
        count = os.preadv(descriptor, [into], offset)
        if not count:
            raise EOFError
        offset, into = offset + count, into[count:]


def _decoded(path: Path, header: FeatureHeader, rows: Rows | None) -> tuple[Features, Coords]:
    """Tiles as HDF5 reads them, which decodes every chunk that holds one."""
    chosen = slice(None) if rows is None else rows
    with open_features(path) as (file, status):
        if status != header.status:
            raise DataError("MS-B009", "the file was changed since it was checked", file=path)
        array = file[header.dataset]
        stored = array[chosen] if header.kind == "tile" else array[()].reshape(1, -1)[chosen]
        coords = np.zeros((len(stored), 2), dtype=np.float32)
        if header.has_coords:
            coords = (file["coords"][chosen] * np.float64(header.um_per_unit)).astype(np.float32)
    with np.errstate(over="ignore"):
        features = stored.astype(np.float16, copy=False)
    if stored.dtype != features.dtype and (beyond := int((np.isinf(features) & np.isfinite(stored)).sum())):
        raise DataError("MS-B008", f"{beyond} values do not fit into float16", file=path)
    return features, coords
