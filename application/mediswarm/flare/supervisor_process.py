"""The process that supervises all unfinished runs of a state directory."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mediswarm.errors import HostError, MediSwarmError, RunCrashed, SessionError
from mediswarm.flare.node_state import disk_error
from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.run_state import Run, RunState
from mediswarm.flare.segment import Segment
from mediswarm.spec import Job
from mediswarm.spec.outcome import state_of

if TYPE_CHECKING:
    from mediswarm.flare.session import ServerSession

T = TypeVar("T")
log = logging.getLogger("mediswarm.flare.supervisor_process")  # also where this is the main module

POLL_S, CALM_POLL_S = 0.5, 3.0
"""How often runs are looked at, and how often when nothing has happened for a while."""

_CALM_AFTER_S = 30.0
_ROOM_S = 10.0
"""How often the operator's disk is tried again when it was full."""
_LOG_BYTES = 20 << 20


@contextlib.contextmanager
def only_supervisor(files: OperatorFiles) -> Iterator[None]:
    """Hold the state directory's lock; a killed holder lets go of it.

    Raises:
        SessionError: MS-S011 when another process holds it.
    """
    files.state_dir.mkdir(parents=True, exist_ok=True)
    with files.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SessionError(
                "MS-S011", "a supervisor is at work in this state directory", file=files.state_dir
            ) from error
        yield


def is_supervised(files: OperatorFiles) -> bool:
    """Whether a supervisor is at work."""
    try:
        with only_supervisor(files):
            return False
    except SessionError:
        return True


def ensure_supervisor(files: OperatorFiles) -> None:
    """Start a supervisor that outlives this process and the login, unless one is at work."""
    if is_supervised(files):
        return
    files.state_dir.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "mediswarm.flare.supervisor_process", str(files.state_dir.resolve())
    ]  # fmt: skip
    with contextlib.suppress(FileNotFoundError):
        if files.log.stat().st_size > _LOG_BYTES:  # one former log is kept
            files.log.replace(files.log.with_suffix(".log.1"))
    with files.log.open("ab") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            cwd=files.state_dir,
        )
    # it may end before this process does, and is to leave no zombie then
    threading.Thread(target=process.wait, daemon=True).start()


def supervise(files: OperatorFiles, until_done: bool, stop: threading.Event) -> None:
    """Step all unfinished runs until `stop`, or with `until_done` until there are none.

    Raises:
        SessionError: MS-S011 when another supervisor is at work.
    """
    while not stop.is_set():
        with only_supervisor(files):
            files.forget_downloads()
            _when_there_is_room(files, stop, lambda state: _work(files, state, until_done, stop))
        # a run that was submitted while the lock was still held would have nobody
        if until_done and not _when_there_is_room(files, stop, _unfinished):
            return


def _when_there_is_room(
    files: OperatorFiles, stop: threading.Event, act: Callable[[RunState], T]
) -> T | None:
    """Act on the runs; begun anew on a full disk until there is room, None when `stop` was first."""
    failed = -2 * _ROOM_S
    while not stop.is_set():
        try:
            with RunState(files.database) as state:
                return act(state)
        except HostError as error:
            if error.code != "MS-H004":
                raise
            if time.monotonic() - failed >= 2 * _ROOM_S:  # said once, until there was room
                log.error("it is tried again: %s", error)  # noqa: TRY400 - named, so no stack trace
            failed = time.monotonic()
            stop.wait(_ROOM_S)
    return None


def _work(files: OperatorFiles, state: RunState, until_done: bool, stop: threading.Event) -> None:
    sessions: dict[str, ServerSession] = {}
    try:
        while not stop.is_set():
            runs = _unfinished(state)
            if not runs:
                while sessions:
                    sessions.popitem()[1].close()
                if until_done:
                    return
            for run in runs:
                _step(files, state, sessions, run)
            stop.wait(CALM_POLL_S if all(map(_calm, runs)) else POLL_S)
    finally:
        for session in sessions.values():
            session.close()


def _step(files: OperatorFiles, state: RunState, sessions: dict[str, ServerSession], run: Run) -> None:
    """Step a run, in the session of its kit; what a step does not write down itself is written here.

    Raises:
        HostError: MS-H004, which can end no run: that could not be written down either.
    """
    from mediswarm.flare.session import ServerSession
    from mediswarm.flare.supervisor import Supervisor

    try:
        if run.kit not in sessions:
            sessions[run.kit] = ServerSession(Path(run.kit), files.transfer)
        Supervisor(state, files, sessions[run.kit], _build).step(run.id)
    except (MediSwarmError, OSError) as error:
        named = error if isinstance(error, MediSwarmError) else disk_error(error, files.state_dir)
        if named.code == "MS-H004":
            raise named from error
        log.error("run %s: %s", run.id, named)  # noqa: TRY400 - named, so no stack trace
        state.set_run(run.id, state=state_of(named), error=named.as_dict(), note="")
    except Exception as error:
        log.exception("run %s: unforeseen", run.id)  # and the other runs go on
        crash = RunCrashed("MS-R001", f"{type(error).__name__} in the supervisor", file=files.log)
        state.set_run(run.id, state=state_of(crash), error=crash.as_dict(), note="")


def _build(job: Job, target: Path, run_id: str, segment: Segment) -> Path:
    from mediswarm.flare.build_job import build_job  # brings torch, which a waiting process need not hold

    return build_job(job, target, run_id, segment)


def _calm(run: Run) -> bool:
    since = datetime.now(timezone.utc) - datetime.fromisoformat(run.updated)
    return since.total_seconds() > _CALM_AFTER_S


def _unfinished(state: RunState) -> list[Run]:
    return [run for run in state.runs() if not run.finished]


def log_to_stderr() -> None:
    """What the supervisor says; NVFlare, which says each lost connection several times, is kept out."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.CRITICAL)
    logging.getLogger("mediswarm").setLevel(logging.INFO)


def main(state_dir: Path) -> None:
    """Supervise in the background; the log goes to the state directory."""
    log_to_stderr()
    # another was faster: it has the run as well
    with contextlib.suppress(SessionError):
        supervise(OperatorFiles(state_dir), until_done=True, stop=threading.Event())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
