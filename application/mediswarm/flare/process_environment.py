"""The environment of the processes that we start NVFlare in."""

from __future__ import annotations

import os

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 29),
    "MALLOC_ARENA_MAX": "1",
}
"""glibc gives every tensor of some megabytes back to the kernel and fetches it anew, page by page, at
each copy of a model; kept in the process, the same copies take about half the CPU time. One arena,
for else every thread that ever held a tensor would keep its own heap of them."""


def threads_of_each(processes: int) -> int:
    """Threads for one of `processes`: more threads than cores make every process several times slower."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


def thread_limits(threads: int) -> dict[str, str]:
    """The variables that OpenMP and MKL read."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
