"""`mediswarm list|status|logs|abort|resume|fetch|submit` at an operator's desk, without a server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mediswarm.errors import RunFailed
from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.run_state import RunState
from mediswarm.flare.supervisor_process import only_supervisor

RUN = "minimal_training_pytorch_cnn-20260101T000000Z-0000"
EVENTS = [
    {"time": "t0", "event": "start", "sites": ["site-1"], "left_out": {}, "segment": 0, "first_round": 0},
    {"time": "t1", "event": "round", "round": 0, "seconds": 1.25, "metrics": {"auroc_macro": 0.75}},
]


@pytest.fixture
def desk(tmp_path: Path, make_job: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatorFiles]:
    """A state directory with one run, which a supervisor seems to look after."""
    files = OperatorFiles(tmp_path / "state")
    monkeypatch.setenv("MEDISWARM_STATE_DIR", str(files.state_dir))
    monkeypatch.delenv("MEDISWARM_KIT", raising=False)
    job = make_job(workflow={"name": "fedavg", "rounds": 4})
    files.keep_job(RUN, job)
    with RunState(files.database) as state:
        state.add(RUN, job.name, job.hash, tmp_path / "kit", None, 4)
        segment = state.begin_segment(RUN, ("site-1", "site-2"), 0)
        state.set_segment(segment, state="submitted", job_id="job-0", committed=1)
    files.add_events(RUN, EVENTS, {"run_id": RUN, "state": "running", "best": None, "rounds": []})
    with only_supervisor(files):
        yield files


def end(files: OperatorFiles, error: RunFailed | None = None) -> None:
    with RunState(files.database) as state:
        fields = {"state": "failed", "error": error.as_dict()} if error else {"state": "succeeded"}
        state.set_run(RUN, **fields)


def test_list(mediswarm: Any, desk: OperatorFiles) -> None:
    (row,) = mediswarm("list", "--json").json
    assert (row["id"], row["state"], row["segments"][0]["committed"]) == (RUN, "running", 1)
    ended = mediswarm("list")
    assert (ended.code, "1 of 4" in ended.out) == (0, True)


def test_list_of_nothing(mediswarm: Any, tmp_path: Path) -> None:
    ended = mediswarm("list", "--state", tmp_path / "empty")
    assert (ended.code, ended.out) == (0, "no runs yet\n")


def test_status_of_a_run_needs_no_server(mediswarm: Any, desk: OperatorFiles) -> None:
    said = mediswarm("status", RUN[:20], "--json").json
    assert (said["id"], said["record"]["state"]) == (RUN, "running")
    end(desk, RunFailed("MS-R004", "an update holds NaN"))
    ended = mediswarm("status", RUN)
    assert ended.code == 0
    assert "failed, 1 of 4 rounds" in ended.out
    assert "error[MS-R004] an update holds NaN" in ended.out


def test_a_run_that_is_not_there(mediswarm: Any, desk: OperatorFiles) -> None:
    for command in ("status", "logs", "abort", "resume", "fetch"):
        ended = mediswarm(command, "absent")
        assert (ended.code, "error[MS-S010]" in ended.err) == (2, True)


def test_logs(mediswarm: Any, desk: OperatorFiles) -> None:
    ended = mediswarm("logs", RUN, "--lines", 0)
    assert ended.code == 0
    assert ended.out.splitlines()[1] == ("t1  round         round=0  seconds=1.25  metrics=auroc_macro:0.75")


def test_no_kit_and_no_server(mediswarm: Any, desk: OperatorFiles, tmp_path: Path) -> None:
    for command in (("status",), ("submit", "minimal_training_pytorch_cnn")):
        ended = mediswarm(*command)
        assert (ended.code, "error[MS-S006]" in ended.err) == (12, True)
    ended = mediswarm("status", "--kit", tmp_path / "nowhere", "--json")
    assert (ended.code, ended.json["error"]["code"]) == (12, "MS-K001")


def test_nothing_is_kept_of_a_run_that_could_not_be_submitted(
    mediswarm: Any, desk: OperatorFiles, make_federation: Any
) -> None:
    kit = make_federation(port=1, sites=["site-1"]) / "admin@example.org"
    ended = mediswarm("submit", "minimal_training_pytorch_cnn", "--kit", kit)
    assert (ended.code, "error[MS-N002]" in ended.err) == (14, True)
    assert len(mediswarm("list", "--json").json) == 1


def test_abort_returns_when_it_is_done(mediswarm: Any, desk: OperatorFiles) -> None:
    def supervisor() -> None:
        deadline = time.monotonic() + 20
        with RunState(desk.database) as state:
            while state.run(RUN).wanted != "abort" and time.monotonic() < deadline:
                time.sleep(0.02)
            state.set_run(RUN, state="stopped")

    thread = threading.Thread(target=supervisor)
    thread.start()
    ended = mediswarm("abort", RUN)
    thread.join()
    assert (ended.code, ended.out) == (0, f"{RUN}: stopped\n")
    ended = mediswarm("abort", RUN)
    assert (ended.code, "error[MS-S012]" in ended.err) == (2, True)


def test_fetch(mediswarm: Any, desk: OperatorFiles, tmp_path: Path) -> None:
    ended = mediswarm("fetch", RUN)
    assert (ended.code, "error[MS-S017]" in ended.err) == (2, True)
    folder = desk.run(RUN)
    (folder / "contributions.csv").write_text("round\n")
    assert "no round was committed" in mediswarm("fetch", RUN, "--out", tmp_path / "none").out
    desk.add_events(RUN, [], {"run_id": RUN, "workflow": {"name": "swarm"}})
    assert "in a swarm" in mediswarm("fetch", RUN, "--out", tmp_path / "swarm").out
    (folder / "last").mkdir()
    (folder / "last" / "model.json").write_text("{}")
    (folder / ".last.former").mkdir()
    said = mediswarm("fetch", RUN, "--out", tmp_path / "out", "--json").json
    assert said["models"] == ["last"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "contributions.csv", "events.jsonl", "last", "run.json",
    ]  # fmt: skip
    ended = mediswarm("fetch", RUN, "--out", tmp_path / "out")
    assert (ended.code, "error[MS-U003]" in ended.err) == (2, True)
    ended = mediswarm("fetch", RUN, "--out", "/proc/out")
    assert (ended.code, "error[MS-U006] /proc/out" in ended.err) == (2, True)


def test_a_run_that_succeeded_is_not_resumed(mediswarm: Any, desk: OperatorFiles) -> None:
    end(desk)
    ended = mediswarm("resume", RUN)
    assert (ended.code, "error[MS-S012]" in ended.err) == (2, True)


def test_a_second_supervisor_is_refused(mediswarm: Any, desk: OperatorFiles) -> None:
    ended = mediswarm("supervise")
    assert (ended.code, "error[MS-S011]" in ended.err) == (14, True)


def test_the_end_of_what_is_followed_is_the_commands(
    desk: OperatorFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    from mediswarm.cli.operator import follow, raise_its_error

    end(desk, RunFailed("MS-R004", "an update holds NaN"))
    with RunState(desk.database) as state:
        run = follow(desk, state, state.run(RUN))
        with pytest.raises(RunFailed) as caught:
            raise_its_error(run)
    assert caught.value.code == "MS-R004"
    assert "round 1 of 4  auroc_macro 0.750" in capsys.readouterr().err


def test_an_interrupt_leaves_the_run_running_and_says_so(
    desk: OperatorFiles, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mediswarm.cli import app, operator

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(operator, "_watch", interrupted)
    monkeypatch.setattr("sys.argv", ["mediswarm"])

    def command() -> None:
        with RunState(desk.database) as state:
            operator.follow(desk, state, state.run(RUN))

    watched = app.typer.Typer(add_completion=False)
    watched.command()(command)
    monkeypatch.setattr(app, "app", watched)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 130
    said = capsys.readouterr().err
    assert "the run goes on: mediswarm status" in said
    assert "nothing of the run is running" not in said
    assert json.loads(json.dumps(mediswarm_state(desk))) == "running"


def mediswarm_state(files: OperatorFiles) -> str:
    with RunState(files.database) as state:
        return state.run(RUN).state
