"""Processors, memory and shared memory, as this process may use them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

from mediswarm.data.findings import Finding
from mediswarm.errors import HostError

_GIB = 1 << 30
_LITTLE_MEMORY = 4 * _GIB  # torch, MONAI and one small 3D batch take 2 to 3 GiB
_LITTLE_SHARED_MEMORY = 1 * _GIB  # Docker gives 64 MiB unless told otherwise
_CGROUP = Path("/sys/fs/cgroup")


def check_processors() -> Finding:
    """How many processors this process may run on, and how many the machine has."""
    there = psutil.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    cores = "1 processor" if usable == 1 else f"{usable} processors"
    return Finding.passed("processors", cores if usable == there else f"{cores} of {there}")


def check_memory(cgroup: Path = _CGROUP) -> Finding:
    """Memory of the machine, or the container's limit where that is lower.

    Args:
        cgroup: where the kernel shows the limits of control groups.
    """
    machine = psutil.virtual_memory().total
    usable = min(machine, _limit(cgroup) or machine)
    said = f"{usable / _GIB:.1f} GiB" + (" (limit of the container)" if usable < machine else "")
    if usable < _LITTLE_MEMORY:
        return _warning("memory", HostError("MS-H009", said))
    return Finding.passed("memory", said)


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:  # noqa: S108 - looked at, not written to
    """The size of shared memory, through which data-loader workers hand over batches (R12)."""
    if not folder.is_dir():
        return Finding.passed("shared memory", f"{folder} is not used on this system")
    total, _, free = shutil.disk_usage(folder)
    said = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free at {folder}"
    if free < _LITTLE_SHARED_MEMORY:
        return _warning("shared memory", HostError("MS-H006", said))
    return Finding.passed("shared memory", said)


def _limit(cgroup: Path) -> int | None:
    """The memory limit of this control group in bytes, version 2 or 1; None without one."""
    for file in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def _warning(subject: str, error: HostError) -> Finding:
    return Finding("WARN", subject, error.message, error.code, error.repair)
