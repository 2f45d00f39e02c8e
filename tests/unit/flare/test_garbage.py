"""What streams leave behind is freed soon, and not when Python or glibc happens to look."""

from __future__ import annotations

import os
import subprocess
import sys

from mediswarm.flare.process_environment import KEEP_MEMORY

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


SCATTERED = """
import time
import psutil
from mediswarm.flare.garbage import collect_often

MIB = 1 << 20
blocks = [bytes([1]) * MIB for _ in range(1000)]
most = psutil.Process().memory_info().rss
del blocks[::2]  # what is free lies between what is not
deadline = time.monotonic() + 20
collect_often()
while psutil.Process().memory_info().rss > most - 300 * MIB and time.monotonic() < deadline:
    time.sleep(0.02)
print((most - psutil.Process().memory_info().rss) // MIB, len(blocks))
"""


def test_memory_that_is_free_between_what_is_not_goes_back_to_the_kernel() -> None:
    said = subprocess.run(
        [sys.executable, "-c", SCATTERED],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, **KEEP_MEMORY},
    )
    freed, kept = map(int, said.stdout.split())
    assert kept == 500
    assert freed > 300
