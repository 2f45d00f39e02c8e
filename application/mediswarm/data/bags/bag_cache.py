"""Tiles of compressed feature files on the scratch disk, so that some rows are read without decoding all.

One entry for each feature file whose numbers do not lie in one piece: a header, float16
features, float32 coordinates in µm. It holds no name and no path, and its own name is a hash.
Reading 512 of 50,000 tiles of a gzip file takes seconds, of an entry milliseconds.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

from mediswarm.data.bags.feature_file import FeatureHeader, file_status
from mediswarm.data.bags.tile_reader import Coords, Features, PlainTiles, Rows, read_tiles
from mediswarm.data.scratch_store import ScratchStore
from mediswarm.errors import DataError

_MAGIC = b"MSbags01"
_HEADER = struct.Struct("<8s3q2QI")


class BagCache:
    """Tiles of feature files, kept below one folder that several processes may use.

    Files as STAMP writes them are read as they lie and take no room here. An entry that a
    full disk or a power failure tore is found by its checksum and written anew.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first entry is stored."""
        self.folder = folder
        self._store = ScratchStore(folder, "features")
        self._verified: set[bytes] = set()

    def read(self, path: Path, header: FeatureHeader, rows: Rows | None = None) -> tuple[Features, Coords]:
        """As :func:`mediswarm.data.bags.tile_reader.read_tiles`, and the same numbers."""
        if PlainTiles.of(path, header) is not None:
            return read_tiles(path, rows, header)
        name = hashlib.sha256(f"{header.dataset}\n{path.absolute()}".encode()).hexdigest()
        place = self.folder / f"{name}.bag"
        if _is_as_checked(path, header) and (entry := self._entry(place, header)) is not None:
            # another process may just have written the same entry anew
            with suppress(DataError):
                return entry.read(rows)
        features, coords = read_tiles(path, None, header)
        begin = _begin(header)
        checksum = zlib.crc32(coords.data, zlib.crc32(features.data, zlib.crc32(begin)))
        self._store.write(place, (begin + struct.pack("<I", checksum), features.data, coords.data))
        return (features, coords) if rows is None else (features[rows], coords[rows])

    def _entry(self, place: Path, header: FeatureHeader) -> PlainTiles | None:
        """Where the tiles lie in the entry at `place`; None where there is no whole one of this file."""
        try:
            status = file_status(place)
            with place.open("rb") as stream:
                begin = stream.read(_HEADER.size)
                if not begin.startswith(_begin(header)):
                    return None
                # once in a process: the checksum takes as long as reading everything
                if begin not in self._verified:
                    checksum = zlib.crc32(begin[:-4])
                    while block := stream.read(1 << 20):
                        checksum = zlib.crc32(block, checksum)
                    if struct.pack("<I", checksum) != begin[-4:]:
                        return None
                    self._verified.add(begin)
                    with suppress(OSError):
                        os.utime(place)
                        status = file_status(place)
        except OSError:
            return None
        end = _HEADER.size + 2 * header.tiles * header.features
        return PlainTiles(place, status, header.tiles, header.features, _HEADER.size, end, 1.0)


def _begin(header: FeatureHeader) -> bytes:
    """The beginning of an entry of this file: all but the checksum."""
    return _HEADER.pack(_MAGIC, *header.status, header.tiles, header.features, 0)[:-4]


def _is_as_checked(path: Path, header: FeatureHeader) -> bool:
    try:
        return file_status(path) == header.status
    except OSError:
        return False  # reading it says what is wrong
