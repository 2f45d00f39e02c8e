"""One supervisor for each state directory, in a process of its own, until nothing is left to do."""

from __future__ import annotations

import errno
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mediswarm.errors import SessionError
from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.run_state import Run, RunState
from mediswarm.flare.session import ServerSession
from mediswarm.flare.supervisor_process import ensure_supervisor, is_supervised, only_supervisor, supervise

HOLDER = """
import sys, time
from pathlib import Path
from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.supervisor_process import only_supervisor
with only_supervisor(OperatorFiles(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def until(happened: Callable[[], Any], within: float) -> None:
    deadline = time.monotonic() + within
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def files(tmp_path: Path, make_job: Any) -> OperatorFiles:
    """A state directory with a run whose kit is gone."""
    files = OperatorFiles(tmp_path / "state")
    job = make_job()
    files.keep_job("run-1", job)
    with RunState(files.database) as state:
        state.add("run-1", job.name, job.hash, tmp_path / "no-kit", None, 4)
    return files


def run_of(files: OperatorFiles) -> Run:
    with RunState(files.database) as state:
        return state.run("run-1")


def test_a_kit_that_is_gone_ends_the_run_and_not_the_supervisor(files: OperatorFiles) -> None:
    supervise(files, until_done=True, stop=threading.Event())
    run = run_of(files)
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("failed", "MS-K001")


def test_a_fault_of_ours_ends_the_run_and_not_the_supervisor(
    files: OperatorFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mediswarm.flare.session.ServerSession", faulty)
    supervise(files, until_done=True, stop=threading.Event())
    run = run_of(files)
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("crashed", "MS-R001")


class Impatient(threading.Event):
    """Nobody stops the supervisor, and it need not wait."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (RunState, sqlite3.OperationalError("database or disk is full")),
        (ServerSession, OSError(errno.ENOSPC, "No space left on device", "/session")),
    ],
)
def test_a_full_disk_of_the_operators_is_waited_out(
    files: OperatorFiles,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: type,
    error: Exception,
) -> None:
    """Nothing can be written down, or a session finds no room: said once, and no run's end."""
    method = "_change" if place is RunState else "__init__"
    kept, attempts = getattr(place, method), []

    def full(*arguments: Any) -> None:
        attempts.append(1)
        if len(attempts) <= 3:
            raise error
        kept(*arguments)

    monkeypatch.setattr(place, method, full)
    supervise(files, until_done=True, stop=Impatient())
    assert len(attempts) == 4
    assert caplog.text.count("error[MS-H004]") == 1
    run = run_of(files)
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("failed", "MS-K001")


def test_a_supervisor_in_the_background_ends_with_its_last_run(files: OperatorFiles) -> None:
    before = set(psutil.Process().children())
    ensure_supervisor(files)
    until(lambda: run_of(files).finished, 30)
    until(lambda: not is_supervised(files), 10)
    log = files.log.read_text()
    assert "MS-K001" in log
    assert "Traceback" not in log
    until(lambda: not set(psutil.Process().children()) - before, 10)


def test_a_long_log_is_put_aside_before_the_next_supervisor_writes(files: OperatorFiles) -> None:
    files.state_dir.mkdir(parents=True, exist_ok=True)
    files.log.write_bytes(b"former\n" * (3 << 20))
    ensure_supervisor(files)
    assert files.log.stat().st_size < 1 << 20
    assert files.log.with_name("supervisor.log.1").stat().st_size == 7 * (3 << 20)
    until(lambda: run_of(files).finished and not is_supervised(files), 30)


def test_the_lock_of_a_killed_supervisor_is_free(files: OperatorFiles) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(files.state_dir)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_supervised(files)
    with pytest.raises(SessionError) as caught, only_supervisor(files):
        pass
    assert caught.value.code == "MS-S011"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert not is_supervised(files)


def test_a_stopped_supervisor_leaves_its_runs_as_they_are(files: OperatorFiles) -> None:
    stop = threading.Event()
    stop.set()
    supervise(files, until_done=False, stop=stop)
    assert run_of(files).state == "waiting"


def test_downloads_of_a_killed_supervisor_go(files: OperatorFiles) -> None:
    left = files.transfer / "tmpabcd" / "job" / "model.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(1000))
    supervise(files, until_done=True, stop=threading.Event())
    assert not list(files.transfer.iterdir())
