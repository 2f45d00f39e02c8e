"""Cycles that hold megabytes are freed soon, and not when Python happens to look."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, time, weakref
from mediswarm.flare.garbage import collect_often

class Stream:
    pass

collect_often()
collect_often()
stream = Stream()
stream.future = stream
seen = weakref.ref(stream)
gc.disable()  # Python itself does not look
del stream
deadline = time.monotonic() + 20
while seen() is not None and time.monotonic() < deadline:
    time.sleep(0.02)
import threading
print(seen() is None, sum(thread.name == "mediswarm-garbage" for thread in threading.enumerate()))
"""


def test_a_cycle_is_freed_although_nothing_else_is_made() -> None:
    # in a process of its own: what is set aside stays so
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.split() == ["True", "1"]
