"""Frees what NVFlare's streams leave behind, which Python and glibc would keep for minutes.

In NVFlare 2.9 every sent stream is part of a reference cycle (a task and its future hold one
another) together with the bytes it sent, a megabyte and more. Python looks for cycles after so
many new objects, not after so many bytes: at a server of a large model hundreds of megabytes
gather before it does. What is freed then lies between what is not, and glibc gives none of it back.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time

_NAME = "mediswarm-garbage"
_EVERY_S = 0.5
_SHARE = 0.05
"""Of one core's time, at most, that looking for cycles may take."""
_SPARE_BYTES = 384 << 20
"""Free memory that may stay with the process: it is needed again at once while a model is sent."""


class _MallocInfo(ctypes.Structure):
    """What glibc's `mallinfo2` gives."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def set_aside() -> None:
    """Leave what is there by now (modules, classes) out of every later look, which then takes little time."""
    gc.collect()
    gc.freeze()


def collect_often() -> None:
    """Look for cycles twice a second from now on, in a thread that ends with the process.

    For a process that sends a model to many in a row. One that sends it once a round looks once a
    round: what looks twice a second takes the interpreter from a training that is under way.
    """
    if any(thread.name == _NAME for thread in threading.enumerate()):
        return
    set_aside()
    threading.Thread(target=_collect, name=_NAME, daemon=True).start()


def _collect() -> None:
    while True:
        started = time.perf_counter()
        gc.collect()
        _give_back()
        time.sleep(max(_EVERY_S, (time.perf_counter() - started) / _SHARE))


def _give_back() -> None:
    """Let the kernel have what is free inside glibc's heap, where there is much of it."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):  # another C library, or glibc before 2.33
        return
    libc.mallinfo2.restype = _MallocInfo
    if libc.mallinfo2().fordblks > _SPARE_BYTES:
        libc.malloc_trim(0)
