"""Files of a cache on the scratch disk: whole or not there, and never more than leaves as much free."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import Buffer

log = logging.getLogger(__name__)

_UNFINISHED = ".unfinished"
_UNUSED_S = 30 * 24 * 3600.0
_ABANDONED_S = 3600.0
_COUNT_ANEW_AFTER = 64


class ScratchStore:
    """Entries of a cache, kept below one folder.

    Several processes may use one folder: an entry is written beside its place and
    then renamed, so that there is a whole entry or none.

    The store takes at most as many bytes as remain free beside it. Then entries that
    nobody used for 30 days are deleted; after that it stops growing. To replace entries in
    use would help nobody: an epoch reads every case once, and what would be deleted
    first is what is needed next.
    """

    def __init__(self, folder: Path, what: str) -> None:
        """`folder` is made when the first entry is written; `what` names the entries in a warning."""
        self.folder, self.what = folder, what
        self._bytes, self._stored, self._closed = 0, 0, False

    def write(self, place: Path, parts: Sequence[Buffer]) -> None:
        """Write the entry unless there is no room; a disk that cannot be written to costs only time."""
        needed = sum(memoryview(part).nbytes for part in parts)
        try:
            if self._closed or not self._room_for(needed):
                return
            descriptor, name = tempfile.mkstemp(_UNFINISHED, dir=self.folder)
            unfinished = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    for part in parts:
                        stream.write(part)
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
        log.warning("the cache of %s %s; what is not in it is read anew each epoch", self.what, why)
