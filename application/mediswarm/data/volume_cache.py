"""Normalised volumes on the scratch disk, so that a file is decoded once and not in every epoch.

One entry for each image file, whatever job reads it: cropping and augmentation
come after. An entry is a header, then the codes of :class:`CodedVolume`, which are
memory-mapped. It holds no name and no path, and its own name is a hash.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mediswarm.data.scratch_store import ScratchStore
from mediswarm.data.volume_codes import CodedVolume
from mediswarm.data.volumes import PREPROCESSING, decode_volume, normalise, read_content

_MAGIC = b"MSvolum1"
_HEADER = struct.Struct("<8s3I2d3qQ32sI")


@dataclass(frozen=True)
class _Entry:
    """A volume and the file it was read from: its status and its SHA-256."""

    volume: CodedVolume
    status: tuple[int, int, int, int]
    digest: bytes

    def header(self) -> bytes:
        """Everything but the codes, and a checksum of it and the codes."""
        volume = self.volume
        fields = (_MAGIC, *volume.codes.shape, volume.step, volume.offset, *self.status, self.digest)
        return _HEADER.pack(*fields, zlib.crc32(volume.codes.data, zlib.crc32(repr(fields).encode())))


class VolumeCache:
    """Normalised volumes of image files, kept below one folder.

    Several processes may use one folder. An entry that a full disk or a power failure
    tore is found by its checksum and written anew.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first volume is stored."""
        self.folder = folder
        self._store = ScratchStore(folder, "volumes")
        self._verified: set[bytes] = set()

    def volume(self, path: Path) -> CodedVolume:
        """The normalised volume of an image file; decoded when it is new or was changed.

        Raises:
            DataError: as :func:`mediswarm.data.volumes.read_volume`; nothing is stored then.
        """
        name = hashlib.sha256(f"{PREPROCESSING}\n{path.absolute()}".encode()).hexdigest()
        place = self.folder / f"{name}.volume"
        status = _status(path)
        entry = self._load(place)
        if entry is not None and entry.status == status:
            return entry.volume
        content = read_content(path)
        digest = hashlib.sha256(content).digest()
        if status is None or status != _status(path):
            # the file is being written to: what was read may be neither the old nor the new
            return CodedVolume.of(normalise(decode_volume(path, content)))
        if entry is not None and entry.digest == digest:
            # copied or touched, with the same content
            entry = replace(entry, status=status)
        else:
            entry = _Entry(CodedVolume.of(normalise(decode_volume(path, content))), status, digest)
        self._store.write(place, (entry.header(), entry.volume.codes.data))
        return entry.volume

    def _load(self, place: Path) -> _Entry | None:
        """The entry at `place`; None where there is none, or none that is whole."""
        try:
            with place.open("rb") as stream:
                header = stream.read(_HEADER.size)
                if len(header) < _HEADER.size or not header.startswith(_MAGIC):
                    return None
                _, x, y, z, step, offset, *status, digest, _ = _HEADER.unpack(header)
                if place.stat().st_size != _HEADER.size + 2 * math.prod((x, y, z)):
                    return None
                codes = np.memmap(stream, np.int16, "r", _HEADER.size, (x, y, z))
                size, modified, changed, number = status
                entry = _Entry(CodedVolume(codes, step, offset), (size, modified, changed, number), digest)
                # once in a process: the checksum takes as long as all else that reading an entry does
                if header not in self._verified:
                    if entry.header() != header:
                        return None
                    self._verified.add(header)
                    with suppress(OSError):
                        os.utime(place)
        except (OSError, ValueError):
            return None
        return entry


def _status(path: Path) -> tuple[int, int, int, int] | None:
    """Size, times and number of the file, which change when it is replaced or written to."""
    try:
        found = path.stat()
    except OSError:
        return None  # reading it says what is wrong
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
