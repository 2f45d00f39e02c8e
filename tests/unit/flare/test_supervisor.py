"""From segment to segment, whatever dies: the supervisor at a server in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mediswarm.errors import ContractError, HostError, KitError, RunFailed, SessionError
from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.run_state import Run, RunState
from mediswarm.flare.supervisor import STOP_S, Supervisor
from mediswarm.flare.supervisor_rules import ROOM_S

sys.path.insert(0, str(Path(__file__).parent))
from in_memory_server import LOST_SITE, InMemoryServer, build

ROUNDS, SEGMENT, BUDGET = 6, 2, 100.0


class Desk:
    """An operator's state directory, a server, and a supervisor between them."""

    def __init__(self, folder: Path, job: Any, roster: tuple[str, ...] | None = None) -> None:
        self.files = OperatorFiles(folder)
        self.server = InMemoryServer()
        self.state = RunState(self.files.database)
        self.time = 5000.0
        self.restart()
        self.files.keep_job("run-1", job)
        self.state.add("run-1", job.name, job.hash, folder, roster, job.workflow.rounds)

    def restart(self) -> None:
        """Another supervisor process: all it knows is on disk."""
        self.state.close()
        self.state = RunState(self.files.database)
        self.supervisor = Supervisor(self.state, self.files, self.server, build, lambda: self.time)

    def step(self, seconds: float = 1.0) -> Run:
        self.time += seconds
        self.supervisor.step("run-1")
        return self.run

    @property
    def run(self) -> Run:
        return self.state.run("run-1")

    @property
    def segments(self) -> list[tuple[int, int, str]]:
        """First round, rounds committed, outcome."""
        return [(entry.first_round, entry.committed, entry.outcome) for entry in self.state.segments("run-1")]


@pytest.fixture
def make_desk(tmp_path: Path, make_job: Any) -> Iterator[Any]:
    desks: list[Desk] = []

    def make(roster: tuple[str, ...] | None = None, **workflow: Any) -> Desk:
        settings = {"name": "fedavg", "rounds": ROUNDS, "segment_rounds": SEGMENT, "round_budget": BUDGET}
        desks.append(Desk(tmp_path / "state", make_job(workflow=settings | workflow), roster))
        return desks[-1]

    yield make
    for desk in desks:
        desk.state.close()


@pytest.fixture
def desk(make_desk: Any) -> Desk:
    made: Desk = make_desk()
    return made


def test_a_run_is_its_segments(desk: Desk) -> None:
    for _ in range(3):
        assert desk.step().state == "running"
        desk.server.play()
        desk.step()
    assert (desk.run.state, desk.run.error) == ("succeeded", None)
    assert desk.segments == [(0, 2, "paused"), (2, 4, "paused"), (4, 6, "completed")]
    assert [job.segment["sites"] for job in desk.server.jobs.values()] == [["site-1", "site-2", "site-3"]] * 3
    folder = desk.files.run("run-1")
    assert json.loads((folder / "run.json").read_text())["state"] == "succeeded"
    assert json.loads((folder / "last" / "model.json").read_text()) == {"model": 6}
    assert not (desk.files.state_dir / "segments" / "run-1").exists()
    assert not list(desk.files.transfer.iterdir())
    desk.step()
    assert len(desk.server.jobs) == 3


def test_the_start_waits_for_all_and_says_for_whom(desk: Desk) -> None:
    desk.server.alive = {"site-1", "site-2"}
    run = desk.step()
    assert (run.state, run.note) == (
        "waiting",
        "waiting for site-3: 2 of 3 sites are connected, 3 needed",
    )
    assert desk.step(BUDGET - 2).state == "waiting"
    desk.server.alive.add("site-3")
    assert desk.step().state == "running"
    assert desk.run.note == ""


def test_the_start_fails_below_quorum_after_the_budget(desk: Desk) -> None:
    desk.server.alive = {"site-1", "site-2"}
    desk.step()
    run = desk.step(BUDGET + 1)
    assert run.state == "failed"
    assert run.error is not None
    assert run.error["code"] == "MS-R002"
    assert "site-3 did not connect" in run.error["message"]
    assert not desk.server.jobs


def test_an_outage_does_not_count_against_the_sites(desk: Desk) -> None:
    desk.server.alive = {"site-1", "site-2"}
    desk.step()
    desk.server.broken = SessionError("MS-S001", "server.example.org does not answer")
    run = desk.step(10 * BUDGET)
    assert (run.state, run.note) == ("waiting", "server.example.org does not answer")
    desk.server.broken = None
    assert desk.step().state == "waiting"
    assert desk.step(BUDGET - 1).state == "waiting"
    assert desk.step(BUDGET).state == "failed"


def test_a_start_quorum_begins_without_the_rest_and_a_late_site_joins(make_desk: Any) -> None:
    desk = make_desk(start_quorum=2, round_quorum=2)
    desk.server.alive = {"site-1", "site-2"}
    desk.step()
    desk.server.play()
    desk.server.alive.add("site-3")
    desk.step()
    desk.step()
    assert desk.server.jobs["job-1"].segment["sites"] == ["site-1", "site-2", "site-3"]


def test_a_site_that_the_kit_does_not_know_yet_joins_at_the_border(desk: Desk) -> None:
    desk.step()
    desk.server.play()
    desk.server.alive.add("site-9")
    desk.step()
    desk.step()
    assert desk.server.jobs["job-1"].segment["sites"] == ["site-1", "site-2", "site-3", "site-9"]


def test_a_stranger_does_not_replace_a_lost_site_where_all_must_contribute(desk: Desk) -> None:
    desk.step()
    desk.server.play()
    desk.server.alive = {"site-1", "site-2", "site-9"}
    desk.step()
    assert desk.step().note == "waiting for site-3: 2 of 3 sites are connected, 3 needed"


def test_only_named_sites_take_part(make_desk: Any) -> None:
    desk = make_desk(roster=("site-1", "site-2"))
    desk.step()
    assert desk.server.jobs["job-0"].segment["sites"] == ["site-1", "site-2"]


def test_a_lost_site_is_pruned_and_comes_back(make_desk: Any) -> None:
    desk = make_desk(round_quorum=2)
    desk.step()
    desk.server.play()
    desk.server.alive.discard("site-3")
    desk.step()
    desk.step()
    assert desk.server.jobs["job-1"].segment["sites"] == ["site-1", "site-2"]
    desk.server.alive.add("site-3")
    desk.server.play()
    desk.step()
    desk.step()
    assert desk.server.jobs["job-2"].segment["sites"] == ["site-1", "site-2", "site-3"]


def test_a_segment_that_lost_its_quorum_is_followed_by_the_next_when_the_site_is_back(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.do_rounds(1)
    desk.server.alive.discard("site-3")
    desk.server.end(LOST_SITE)
    assert desk.step().state == "waiting"
    assert "site-3" in desk.step().note
    desk.server.alive.add("site-3")
    assert desk.step().state == "running"
    assert desk.segments == [(0, 1, "execution exception"), (1, 1, "")]
    for _ in range(3):
        desk.server.play()
        desk.step()
        desk.step()
    assert desk.run.state == "succeeded"


def test_a_killed_server_costs_what_was_not_committed(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.do_rounds(2)
    desk.step()
    assert desk.segments == [(0, 2, "")]
    desk.server.lose_round()
    desk.server.die(status="FINISHED:EXECUTION_EXCEPTION")
    assert desk.step().state == "waiting"
    desk.step()
    assert desk.segments == [(0, 2, "execution exception"), (2, 2, "")]
    desk.server.begin()
    desk.step()
    assert desk.segments[-1] == (1, 1, "")


def test_a_zombie_of_a_killed_server_is_not_waited_for(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.step()
    desk.server.die()
    assert desk.step().state == "waiting"
    assert desk.segments == [(0, 0, "the server was started anew")]
    assert desk.server.aborted == ["job-0"]


def test_a_job_that_was_not_begun_outlives_its_server(desk: Desk) -> None:
    desk.step()
    desk.server.die()
    desk.step()
    desk.server.begin()
    assert desk.step().state == "running"
    assert len(desk.server.jobs) == 1


def test_a_server_that_is_shut_down_in_order_does_not_end_the_run(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.do_rounds(1)
    desk.server.end(RunFailed("MS-R007", "the run was aborted"), state="stopped")
    desk.server.die(status="FINISHED:ABORTED")
    assert desk.step().state == "waiting"


def test_a_segment_that_somebody_else_aborted_ends_the_run(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.end(RunFailed("MS-R007", "the run was aborted"), state="stopped")
    desk.server.jobs["job-0"].status = "FINISHED:ABORTED"
    assert desk.step().state == "stopped"


def test_a_segment_that_nvflare_aborted_for_a_killed_process_does_not_end_the_run(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.end(RunFailed("MS-R007", "the run was aborted"), state="stopped")
    assert desk.step().state == "waiting"


def test_a_lost_job_store_is_survived(desk: Desk) -> None:
    desk.step()
    del desk.server.jobs["job-0"]
    assert desk.step().state == "waiting"
    assert desk.segments == [(0, 0, "the server has lost the job")]


def test_three_segments_on_the_same_model_are_enough(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.do_rounds(1)
    desk.server.end(LOST_SITE)
    desk.step()
    for _ in range(3):
        assert desk.run.state == "waiting"
        desk.step()
        desk.server.begin()
        desk.server.end(LOST_SITE)
        desk.step()
    error = desk.run.error
    assert error is not None
    assert (desk.run.state, error["code"]) == ("crashed", "MS-S013")
    assert "after round 1" in error["message"]
    assert error["message"].count("MS-R006") == 3
    assert json.loads((desk.files.run("run-1") / "run.json").read_text())["error"]["code"] == "MS-S013"

    desk.state.resume("run-1", desk.run.kit, None)
    desk.step()
    desk.server.begin()
    desk.server.end(LOST_SITE)
    assert desk.step().state == "waiting"


def test_slow_progress_is_progress(desk: Desk) -> None:
    for done in range(1, 6):
        desk.step()
        desk.server.begin()
        desk.server.do_rounds(1)
        desk.server.end(LOST_SITE)
        assert desk.step().state == "waiting"
        assert desk.segments[-1][1] == done


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RunFailed("MS-R004", "an update holds NaN"), "failed"),
        (RunFailed("MS-R002", "2 of 3 sites are ready"), "failed"),
        (ContractError("MS-C001", "sites differ"), "failed"),
    ],
)
def test_a_failure_of_the_runs_own_doing_is_final(desk: Desk, error: Any, state: str) -> None:
    desk.step()
    desk.server.begin()
    desk.server.end(error, state=state)
    run = desk.step()
    assert run.state == state
    assert run.error == error.as_dict()


def test_a_refusal_names_site_and_rule(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.jobs["job-0"].deployed = (
        "server: OK",
        "site-1: OK",
        "site-2: no reply (deployment timeout)",
        "site-3: NVFLARE_ERROR: BYOC not permitted",
    )
    desk.server.end(LOST_SITE)
    run = desk.step()
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("failed", "MS-S016")
    assert run.error["message"] == "the job was refused: site-3: BYOC not permitted"


def full_disk(desk: Desk, error: Any = None) -> Run:
    """The last segment submitted finds no room at site-3: the others go on with it, as far as they get."""
    job = list(desk.server.jobs.values())[-1]
    full = "exception OSError: [Errno 28] No space left on device when deploying app"
    job.deployed = ("server: OK", "site-1: OK", "site-2: OK", f"site-3: NVFLARE_ERROR: {full}")
    if error is None:
        job.status = "FINISHED:FAILED_TO_RUN"
    else:
        desk.server.begin()
        desk.server.end(error)
    return desk.step()


@pytest.mark.parametrize("error", [None, LOST_SITE])
def test_a_full_disk_at_a_site_is_waited_for(make_desk: Any, error: Any) -> None:
    desk = make_desk(round_budget=ROOM_S * 10)
    desk.step()
    for tried in range(1, 5):
        assert full_disk(desk, error).state == "waiting", "no refusal, and not three times and out"
        run = desk.step(ROOM_S / 4)
        assert (run.state, run.note) == ("waiting", "MS-H004: the disk is full at site-3")
        assert len(desk.server.jobs) == tried
        assert desk.step(ROOM_S).state == "running"
    desk.server.play()
    assert to_the_end(desk).state == "succeeded"


def test_a_full_disk_at_a_site_is_not_waited_for_beyond_the_budget(make_desk: Any) -> None:
    desk = make_desk(round_budget=ROOM_S * 2)
    desk.step()
    for _ in range(2):
        full_disk(desk)
        desk.step(ROOM_S)
        desk.step()
    full_disk(desk)
    run = desk.step()
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("failed", "MS-H004")
    assert "site-3" in run.error["message"]
    desk.state.resume("run-1", run.kit, None)
    assert desk.step().state == "running", "whoever resumes it has made room"


def test_a_round_that_the_others_did_without_a_full_site_is_no_full_disk(make_desk: Any) -> None:
    desk = make_desk(start_quorum=2, round_quorum=2)
    desk.step()
    desk.server.jobs["job-0"].deployed = ("site-3: [Errno 28] No space left on device",)
    desk.server.play()
    desk.step()
    assert desk.segments == [(0, 2, "paused")]
    assert desk.step().state == "running"


def test_abort_returns_when_nothing_runs_at_any_site(desk: Desk) -> None:
    desk.step()
    job_id = desk.server.begin()
    desk.server.do_rounds(1)
    desk.state.set_run("run-1", wanted="abort")
    assert desk.step().state == "stopping"
    assert desk.server.aborted == [job_id]
    desk.server.end(RunFailed("MS-R007", "the run was aborted"), state="stopped")
    desk.server.jobs[job_id].status = "FINISHED:ABORTED"
    desk.server.busy = {"site-2": (job_id,)}
    assert desk.step().note == "waiting for site-2 to stop"
    desk.server.busy = {}
    assert desk.step().state == "stopped"
    assert desk.run.error is not None
    assert desk.run.error["code"] == "MS-R007"


def test_abort_does_not_wait_for_ever(desk: Desk) -> None:
    desk.step()
    job_id = desk.server.begin()
    desk.state.set_run("run-1", wanted="abort")
    desk.step()
    desk.server.jobs[job_id].status = "FINISHED:ABORTED"
    desk.server.busy = {"site-2": (job_id,)}
    desk.step()
    assert desk.step(STOP_S + 1).state == "stopped"


def test_an_abort_that_did_not_arrive_is_repeated(desk: Desk) -> None:
    desk.step()
    job_id = desk.server.begin()
    desk.state.set_run("run-1", wanted="abort")
    desk.server.broken = SessionError("MS-S001", "no answer")
    assert desk.step().state == "running"
    desk.server.broken = None
    desk.step()
    desk.step()
    assert desk.server.aborted == [job_id]


def test_abort_between_segments(desk: Desk) -> None:
    desk.server.alive = set()
    desk.step()
    desk.state.set_run("run-1", wanted="abort")
    assert desk.step().state == "stopped"


def test_a_stopped_run_can_be_resumed_with_fewer_sites(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.server.do_rounds(1)
    desk.step()
    desk.state.set_run("run-1", wanted="abort")
    desk.step()
    desk.server.end(RunFailed("MS-R007", "the run was aborted"), state="stopped")
    assert desk.step().state == "stopped"
    desk.server.alive.discard("site-3")
    desk.state.resume("run-1", desk.run.kit, ("site-1", "site-2"))
    assert desk.step().state == "running"
    assert desk.segments[-1] == (1, 1, "")
    assert desk.server.jobs["job-1"].segment["sites"] == ["site-1", "site-2"]


@pytest.mark.parametrize("method", ["submit", "started", "job", "download", "events"])
@pytest.mark.parametrize("done", [False, True])
def test_a_supervisor_killed_in_any_call_neither_loses_nor_repeats_a_segment(
    desk: Desk, method: str, done: bool
) -> None:
    """`done`: it was killed after the server had done what was asked, else before."""

    class Killed(BaseException):
        pass

    kept = getattr(desk.server, method)

    def killing(*arguments: Any) -> Any:
        if done:
            kept(*arguments)
        setattr(desk.server, method, kept)
        raise Killed

    for _ in range(3):
        for part in ("submit", "play"):
            setattr(desk.server, method, killing)
            try:
                desk.step()
            except Killed:
                desk.restart()
                desk.step()
            setattr(desk.server, method, kept)
            if part == "submit":
                desk.server.play()
    desk.step()
    assert desk.run.state == "succeeded"
    assert [job.segment["number"] for job in desk.server.jobs.values()] == [0, 1, 2]


def test_half_a_line_of_events_is_mended(desk: Desk) -> None:
    desk.step()
    desk.server.begin()
    desk.step()
    file = desk.files.run("run-1") / "events.jsonl"
    file.write_text(file.read_text() + '{"time": "2026')
    desk.server.do_rounds(1)
    desk.step()
    assert [event["event"] for event in desk.files.known_events("run-1")] == ["start", "round"]


def test_a_certificate_that_ends_before_the_run_blocks_it(desk: Desk) -> None:
    desk.server.ends = datetime.now(timezone.utc) + timedelta(seconds=SEGMENT * BUDGET - 10)
    run = desk.step()
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("failed", "MS-S014")
    assert not desk.server.jobs


def test_a_refused_kit_ends_the_waiting(desk: Desk) -> None:
    desk.server.broken = KitError("MS-K020", "the kit is of generation 0123456789ab")
    run = desk.step()
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("failed", "MS-K020")


@pytest.mark.parametrize(
    ("part", "method", "error"),
    [
        ("supervisor", "build", OSError(28, "No space left on device", "/state/segments")),
        ("state", "begin_segment", HostError("MS-H004", "database or disk is full")),
    ],
)
def test_a_full_disk_here_is_named_and_ends_no_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, part: str, method: str, error: Exception
) -> None:
    def full(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(getattr(desk, part), method, full)
        with pytest.raises(HostError, match="MS-H004"):
            desk.step()
    assert not desk.run.finished
    assert to_the_end(desk).state == "succeeded"


def to_the_end(desk: Desk) -> Run:
    for _ in range(10):
        run = desk.step()
        if run.finished:
            return run
        if list(desk.server.jobs.values())[-1].status == "SUBMITTED":
            desk.server.play()
    raise AssertionError(run)


def test_of_a_run_that_ended_the_nvflare_jobs_go_and_the_results_stay(desk: Desk) -> None:
    assert to_the_end(desk).state == "succeeded"
    assert not list((desk.files.state_dir / "segments").iterdir())
    assert (desk.files.run("run-1") / "run.json").is_file()
    assert desk.files.job("run-1", desk.run.job).hash == desk.run.job_hash


def test_a_run_that_ended_before_its_segment_was_taken_has_it_made_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*arguments: Any) -> None:
        assert (desk.files.state_dir / "segments" / "run-1" / "0").is_dir()
        raise KitError("MS-K020", "the kit is of generation 0123456789ab")

    with monkeypatch.context() as patched:
        patched.setattr(desk.server, "submit", refuses)
        assert desk.step().state == "failed"
    assert not (desk.files.state_dir / "segments" / "run-1").exists()
    desk.state.resume("run-1", desk.run.kit, None)
    assert to_the_end(desk).state == "succeeded"
