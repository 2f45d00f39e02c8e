"""The operator's state file: whole after any death, shared by processes, versioned."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediswarm.errors import HostError, SessionError, UsageError
from mediswarm.flare.run_state import RunState

WRITER = """
import sys
from pathlib import Path
from mediswarm.flare.run_state import RunState
state = RunState(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    segment = state.begin_segment("run-1", ("site-1",), 0)
    state.set_segment(segment, {"note": f"segment {segment.number}"}, state="submitted", job_id="job")
    state.set_segment(segment, {"note": f"segment {segment.number} collected"}, state="collected")
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[RunState]:
    with RunState(tmp_path / "state" / "runs.sqlite") as opened:
        opened.add("run-1", "job", "0123", tmp_path / "kit", ("site-1", "site-2"), 4)
        yield opened


def test_what_was_written_is_read_by_another_process(state: RunState) -> None:
    segment = state.begin_segment("run-1", ("site-1",), 2)
    state.set_segment(segment, {"note": "n"}, state="ended", error={"code": "MS-R006"}, committed=3)
    with RunState(state.file) as other:
        run = other.run("run-1")
        assert (run.state, run.wanted, run.note, run.roster) == ("running", "run", "n", ("site-1", "site-2"))
        (read,) = other.segments("run-1")
        assert (read.number, read.sites, read.first_round, read.committed) == (0, ("site-1",), 2, 3)
        assert read.error == {"code": "MS-R006"}
        assert other.open_segment("run-1") == read


def test_a_writer_may_be_killed_anywhere(state: RunState) -> None:
    rest = random.Random(3)
    for _ in range(6):
        before = len(state.segments("run-1"))
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(state.file)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 20
        while len(state.segments("run-1")) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rest.random() / 50)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        segments = state.segments("run-1")
        assert len(segments) > before
        assert [segment.number for segment in segments] == list(range(len(segments)))
        # run and segment were written in one step
        last, note = segments[-1], state.run("run-1").note
        notes = {
            "prepared": "",
            "submitted": f"segment {last.number}",
            "collected": f"segment {last.number} collected",
        }
        assert note == notes[last.state]
        assert all(segment.state == "collected" or segment.job_id in (None, "job") for segment in segments)
    check = sqlite3.connect(state.file)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def test_a_full_disk_is_named_and_the_file_is_as_good_as_before(state: RunState) -> None:
    state._db.execute("PRAGMA max_page_count = 1")  # SQLite's own full disk: not a page more than now
    with pytest.raises(HostError, match="MS-H004"):
        state.set_run("run-1", note="x" * 100_000)
    state._db.execute("PRAGMA max_page_count = 1000")
    assert state.run("run-1").note == ""
    state.set_run("run-1", note="goes on")
    assert state.run("run-1").note == "goes on"


def test_a_failed_change_changes_nothing(state: RunState) -> None:
    segment = state.begin_segment("run-1", ("site-1",), 0)
    with pytest.raises(sqlite3.OperationalError):
        state.set_segment(segment, {"no_such_column": 1}, state="ended")
    assert state.segments("run-1")[0].state == "prepared"
    state.set_run("run-1", note="still usable")


def test_runs_are_found_by_the_beginning_of_their_id(state: RunState, tmp_path: Path) -> None:
    state.add("other-1", "job", "0123", tmp_path, None, 4)
    assert state.run("oth").id == "other-1"
    state.add("run-12", "job", "0123", tmp_path, None, 4)
    assert state.run("run-1").id == "run-1"
    for name, said in (("run", "more than one"), ("absent", "no such run")):
        with pytest.raises(UsageError, match=said) as caught:
            state.run(name)
        assert caught.value.code == "MS-S010"


def test_resuming_forgets_the_end_and_keeps_the_segments(state: RunState) -> None:
    state.begin_segment("run-1", ("site-1",), 0)
    state.set_run("run-1", state="crashed", error={"code": "MS-S013"}, wanted="abort", note="x")
    state.resume("run-1", "/kits/new", None)
    run = state.run("run-1")
    assert (run.state, run.wanted, run.error, run.note, run.kit) == ("waiting", "run", None, "", "/kits/new")
    assert (run.roster, run.patient_from, len(state.segments("run-1"))) == (None, 1, 1)


def test_a_file_of_a_later_version_is_refused(state: RunState) -> None:
    state.close()
    later = sqlite3.connect(state.file)
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(SessionError, match="version 99") as caught:
        RunState(state.file)
    assert caught.value.code == "MS-S015"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite"
    file.write_text("no database, but long enough to look at: " + "x" * 200)
    with pytest.raises(SessionError) as caught:
        RunState(file)
    assert caught.value.code == "MS-S015"


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError) as caught:
        RunState(tmp_path / "file" / "runs.sqlite")
    assert caught.value.code == "MS-H001"
