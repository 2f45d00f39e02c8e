"""NVFlare's process and everything below it: started, watched, and ended without remainder (R19)."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import subprocess
import sys
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

import psutil

from mediswarm.errors import KitError
from mediswarm.flare.process_environment import KEEP_MEMORY, thread_limits, threads_of_each
from mediswarm.spec.kit import Kit

LOG_FILE = Path("logs") / "node.log"
_LOG_BYTES, _LOG_FILES = 10 << 20, 5
_HEARTBEAT_S = 5
_GRACE_OF_HEAD_S, _GRACE_S = 3.0, 3.0  # Docker kills ten seconds after it asked a container to stop
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = {"NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": "20"}
"""NVFlare 2.9 ends a job whose server part is done only when every site has said that its part is, and
waits 900 s for one that was cut off; a run's next segment would wait as long."""
_SLOW_LINKS = {
    "NVFLARE_STREAMING_WINDOW_SIZE": str(4 << 20),
    "NVFLARE_STREAMING_ACK_INTERVAL": str(2 << 20),
    "NVFLARE_STREAMING_RETRY_WAIT": "30",
}
"""NVFlare 2.9 sends again what is not confirmed within 5 s, and lets 16 MiB be on their way unconfirmed: a
link of less than 26 Mbit/s for each site would carry every model twice or more often. With these nothing is
sent twice from 1.2 Mbit/s on, and a link with a round trip of 0.1 s still carries 300 Mbit/s."""
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent dies, as PID 1 of a container is (Linux).

    A job process whose NVFlare client was killed stays known, and can be ended.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def prepare_workspace(kit: Path, scratch: Path) -> Path:
    """NVFlare's workspace in the scratch directory, with the kit's files linked into it.

    The files, not the folders: NVFlare 2.9 looks for its configuration with `os.walk`, which does not
    enter a linked folder. What NVFlare itself wrote there stays.

    Raises:
        KitError: MS-K001 when a file of the kit is there already as a copy.
    """
    workspace = scratch / "workspace"
    for folder in ("startup", "local"):
        place = workspace / folder
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            if old.is_symlink():
                old.unlink()
        for file in sorted((kit / folder).iterdir()):
            if (place / file.name).exists():
                raise KitError(
                    "MS-K001",
                    "NVFlare's workspace holds a copy of a file of the startup kit",
                    repair="Move that file away; the node links the kit into the workspace by itself.",
                    file=place / file.name,
                )
            (place / file.name).symlink_to(file.resolve(), target_is_directory=file.is_dir())
    for name in ("pid.fl", "daemon_pid.fl", "restart.fl", "shutdown.fl"):
        # left by a kit's start.sh that was killed: it would refuse to start, and NVFlare's admin be misled
        (workspace / name).unlink(missing_ok=True)
    return workspace


def start_nvflare(
    kit: Kit, workspace: Path, scratch: Path, settings: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start NVFlare's client or server; its output goes to ours and to a rotating file."""
    kind = "server" if kit.role == "server" else "client"
    values = ["secure_train=true", f"org={kit.organisation}", "config_folder=config"]
    if kind == "client":
        values += [f"uid={kit.name}", f"heart_beat_interval={_HEARTBEAT_S}"]
    arguments = ["-m", str(workspace), "-s", f"fed_{kind}.json", "--set", *values]
    command = [sys.executable, "-u", "-m", "mediswarm.flare.nvflare_process", kind, *arguments]
    environment = {**os.environ, **KEEP_MEMORY, **_threads(), **_PATIENCE, **_SLOW_LINKS, **settings}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    threading.Thread(target=_copy, args=(process.stdout, scratch / LOG_FILE), daemon=True).start()
    return process


def at_work() -> str:
    """The command lines of all descendants of this process; a job's holds the id of the job."""
    lines = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
    return "\n".join(lines)


def end_family(head: subprocess.Popen[bytes] | None, grace: float = _GRACE_S) -> None:
    """End every descendant of this process: politely, then by force, and bury the dead.

    `head` goes first: NVFlare's client would report job processes that die before it as failed, and the
    server would end the job for all sites.
    """
    if head is not None and head.poll() is None:
        head.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(_GRACE_OF_HEAD_S)
    family = psutil.Process().children(recursive=True)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    for _ in range(3):  # one that was killed may have started another in the meantime
        _, alive = psutil.wait_procs(family, timeout=grace)
        for member in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(alive, timeout=1.0)
        bury()
        family, grace = psutil.Process().children(recursive=True), 0.0
        if not family:
            return


def bury(besides: int | None = None) -> None:
    """Take leave of dead orphans, which nobody else waits for; `besides` is waited for by its owner."""
    with contextlib.suppress(ChildProcessError):  # no children at all
        while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if dead.si_pid == besides:  # the next look finds those behind it
                return
            os.waitpid(dead.si_pid, os.WNOHANG)


def _threads() -> dict[str, str]:
    """All cores for the one training that runs at a time, unless the container was told otherwise."""
    return {name: os.environ.get(name, value) for name, value in thread_limits(threads_of_each(1)).items()}


class _Kept(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's signature
        """A line that finds no room on a full disk is not kept; it was printed, and NVFlare goes on."""


def _copy(stream: IO[bytes], file: Path) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
    keep = _Kept(file, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8", delay=True)
    with contextlib.closing(keep), stream:
        for line in stream:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            text = _COLOUR.sub(b"", line).decode("utf-8", "replace").rstrip("\n")
            keep.emit(logging.makeLogRecord({"msg": text}))
