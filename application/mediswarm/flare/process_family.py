"""The processes of a simulation: the simulator, the sites forked from it, and their end."""

from __future__ import annotations

import contextlib
import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

WORKERS_FILE = "workers.json"
"""Beside the workspace: the process id of each site."""

_PROGRAM = "mediswarm.flare.simulator_process"
_GRACE_S = 1.0
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def simulator_started(
    arguments: list[str], workspace: Path, log: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The simulator in a process group of its own, of which nothing is alive afterwards (R19)."""
    command = [sys.executable, "-m", _PROGRAM, *arguments]
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            yield process
        finally:
            _end(process, _workers(workspace))


def _end(process: subprocess.Popen[bytes], workers: dict[str, int]) -> None:
    """End the simulator and all its descendants; site workers have sessions of their own.

    The children of a simulator that died are nobody's children: they are known by their register.
    """
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        simulator = psutil.Process(process.pid)
        family = [*simulator.children(recursive=True), simulator]
    for pid in set(workers.values()) - {member.pid for member in family}:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan = psutil.Process(pid)
            if _PROGRAM in orphan.cmdline():
                family.append(orphan)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGTERM)
    for member in psutil.wait_procs(family, timeout=_GRACE_S)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def _workers(workspace: Path) -> dict[str, int]:
    """The process id of each site that has been started."""
    register = workspace.parent / WORKERS_FILE
    found: dict[str, int] = json.loads(register.read_text()) if register.is_file() else {}
    return found


def dead_sites(workspace: Path) -> list[str]:
    """Sites whose process was started and is no longer alive."""
    return [site for site, pid in sorted(_workers(workspace).items()) if not _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end_with_parent() -> None:
    """Let the kernel end this process when the one that started it dies, however it dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
