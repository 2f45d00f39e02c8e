"""Normalised volumes on the scratch disk, so that a file is decoded once and not in every epoch.

One entry for each image file, whatever job reads it: cropping and augmentation
come after. An entry is a header, then the codes of :class:`CodedVolume`, which are
memory-mapped. It holds no name and no path, and its own name is a hash.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import struct
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mediswarm.data.volume_codes import CodedVolume
from mediswarm.data.volumes import PREPROCESSING, decode_volume, normalise, read_content

log = logging.getLogger(__name__)

_MAGIC = b"MSvolum1"
_HEADER = struct.Struct("<8s3I2d3qQ32sI")
_UNFINISHED = ".unfinished"
_UNUSED_S = 30 * 24 * 3600.0
_ABANDONED_S = 3600.0
_COUNT_ANEW_AFTER = 64


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

    Several processes may use one folder: an entry is written beside its place and
    then renamed, so that there is a whole entry or none. One that a full disk or a
    power failure tore is found by its checksum and written anew.

    The cache takes at most as many bytes as remain free beside it. Then entries that
    nobody used for 30 days are deleted; after that it stops growing. To replace entries in
    use would help nobody: an epoch reads every case once, and what would be deleted
    first is what is needed next.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first volume is stored."""
        self.folder = folder
        self._verified: set[bytes] = set()
        self._bytes, self._stored, self._closed = 0, 0, False

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
        self._store(place, entry)
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

    def _store(self, place: Path, entry: _Entry) -> None:
        """Write the entry unless there is no room; a disk that cannot be written to costs only time."""
        needed = _HEADER.size + entry.volume.codes.nbytes
        try:
            if self._closed or not self._room_for(needed):
                return
            descriptor, name = tempfile.mkstemp(_UNFINISHED, dir=self.folder)
            unfinished = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(entry.header())
                    stream.write(entry.volume.codes.data)
                    stream.flush()
                    os.fsync(stream.fileno())
                unfinished.rename(place)
            except BaseException:
                unfinished.unlink()
                raise
        except OSError as error:
            self._close(f"cannot be written to ({error.strerror})")
            return
        self._bytes, self._stored = self._bytes + needed, self._stored + 1

    def _room_for(self, needed: int) -> bool:
        """Whether an entry of `needed` bytes may be added; counts again what other processes added."""
        if self._stored % _COUNT_ANEW_AFTER == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._bytes = self._sweep(_ABANDONED_S, math.inf)
        free = shutil.disk_usage(self.folder).free
        if self._bytes + needed > free:
            self._bytes = self._sweep(_ABANDONED_S, _UNUSED_S)
            free = shutil.disk_usage(self.folder).free
        if self._bytes + needed > free:
            self._close(f"is full: it holds {self._bytes / 2**30:.1f} GiB, and as much must remain free")
            return False
        return True

    def _sweep(self, abandoned_s: float, unused_s: float) -> int:
        """Delete what killed processes left unfinished and what nobody uses; give the bytes that remain."""
        now, remain = time.time(), 0
        for file in self.folder.iterdir():
            try:
                status = file.stat()
                old = abandoned_s if file.suffix == _UNFINISHED else unused_s
                if now - status.st_mtime > old:
                    file.unlink()
                else:
                    remain += status.st_size
            except FileNotFoundError:
                continue  # another process was faster
        return remain

    def _close(self, why: str) -> None:
        self._closed = True
        log.warning("the cache of volumes %s; images that are not in it are read anew each epoch", why)


def _status(path: Path) -> tuple[int, int, int, int] | None:
    """Size, times and number of the file, which change when it is replaced or written to."""
    try:
        found = path.stat()
    except OSError:
        return None  # reading it says what is wrong
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
