"""Frees what NVFlare's streams leave behind, which Python would keep for minutes.

In NVFlare 2.9 every sent stream is part of a reference cycle (a task and its future hold one
another) together with the bytes it sent, a megabyte and more. Python looks for cycles after so
many new objects, not after so many bytes: at a server of a large model hundreds of megabytes
gather before it does.
"""

from __future__ import annotations

import gc
import threading
import time

_NAME = "mediswarm-garbage"
_EVERY_S = 0.5
_SHARE = 0.05
"""Of one core's time, at most, that looking for cycles may take."""


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
        time.sleep(max(_EVERY_S, (time.perf_counter() - started) / _SHARE))
