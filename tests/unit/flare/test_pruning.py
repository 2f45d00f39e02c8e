"""What is removed of runs that are over, and what never is (R21)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from mediswarm.flare.pruning import KEPT, prune

LONG = 30 * 24 * 3600.0


def write(file: Path, text: str, silent: float) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    os.utime(file, (time.time() - silent, time.time() - silent))
    return file


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Ten runs and ten jobs of today: whatever is older is not among the newest."""
    for number in range(KEPT):
        write(tmp_path / "runs" / f"new-{number}" / "state" / "1.safetensors", "x", 60)
        job(tmp_path, f"new-job-{number}", f"new-{number}-0", 60)
    return tmp_path


def at_site(workspace: Path, run: str, silent: float = LONG, ended: bool = True) -> Path:
    folder = workspace / "runs" / run
    names = ["state/6.safetensors", "last/model.safetensors", "best/model.safetensors"]
    for name in names + ["predictions/validation.csv", "personal/last/model.safetensors"] * ended:
        write(folder / name, "x", silent)
    return folder


def at_server(workspace: Path, run: str, state: str, silent: float = LONG) -> Path:
    folder = workspace / "runs" / run
    write(folder / "run.json", json.dumps({"state": state}), silent)
    for name in ("state.json", "events.jsonl", "contributions.csv", "last/model.safetensors"):
        write(folder / name, "x", silent)
    for name in ("best/model.safetensors", "strategy/3.safetensors", "incoming/left"):
        write(folder / name, "x", silent)
    return folder


def job(workspace: Path, job_id: str, name: str, silent: float = LONG) -> Path:
    write(workspace / job_id / "log.txt", "x" * 2_000_000, silent)
    return write(workspace / job_id / "meta.json", json.dumps({"name": name}), silent).parent


def archive(workspace: Path, job_id: str, name: str, silent: float = 60.0) -> Path:
    write(workspace / "jobs-storage" / job_id / "meta", json.dumps({"name": name}), silent)
    return write(workspace / "jobs-storage" / job_id / "workspace", "models", silent)


def test_a_site_keeps_predictions_its_own_model_and_the_best_of_a_run_that_came_to_its_end(
    workspace: Path,
) -> None:
    """Also where it has no test cases."""
    ended = at_site(workspace, "ended")
    assert prune(workspace, "") == ["removed last, state of run ended, 0.0 MB"]
    assert files(ended) == {
        "predictions/validation.csv",
        "personal/last/model.safetensors",
        "best/model.safetensors",
    }
    assert prune(workspace, "") == [], "said once"


def test_a_site_keeps_what_a_run_that_was_interrupted_needs_to_go_on(workspace: Path) -> None:
    """In a swarm nobody else may have the last model; after 90 days nobody resumes it."""
    waits, left = (at_site(workspace, name, ended=False) for name in ("waits", "left"))
    for file in [file for file in left.rglob("*") if file.is_file()]:
        os.utime(file, (time.time() - 91 * 24 * 3600.0,) * 2)
    before = files(waits)
    assert len(prune(workspace, "")) == 1
    assert files(waits) == before
    assert not left.exists(), "it left nothing to keep"


@pytest.mark.parametrize("state", ["succeeded", "failed", "crashed", "timed out", "stopped"])
def test_a_server_keeps_the_record_of_a_run_that_ended(workspace: Path, state: str) -> None:
    run = at_server(workspace, "ended", state)
    prune(workspace, "")
    assert files(run) == {"run.json", "state.json", "events.jsonl", "contributions.csv"}


def test_a_run_that_has_not_ended_is_never_touched(workspace: Path) -> None:
    """Paused or left by a killed server: its record says running, and its model is the last good one."""
    run = at_server(workspace, "paused", "running")
    before = files(run)
    assert prune(workspace, "") == []
    assert files(run) == before


@pytest.mark.parametrize(("days", "stays"), [(89, True), (91, False)])
def test_a_run_that_nobody_resumed_is_given_up(workspace: Path, days: int, stays: bool) -> None:
    run = at_server(workspace, "left", "running", silent=days * 24 * 3600.0)
    prune(workspace, "")
    assert ((run / "last").is_dir(), (run / "run.json").is_file()) == (stays, True)


def test_a_run_of_this_week_stays_and_so_do_the_newest(workspace: Path) -> None:
    recent = at_server(workspace, "recent", "failed", silent=6 * 24 * 3600.0)
    assert prune(workspace, "") == []
    assert (recent / "last").is_dir()


def test_ten_runs_stay_however_old(tmp_path: Path) -> None:
    for number in range(KEPT + 1):
        at_server(tmp_path, f"run-{number}", "succeeded", silent=LONG + number)
    assert prune(tmp_path, "") == [f"removed best, incoming, last, strategy of run run-{KEPT}, 0.0 MB"]


def test_old_jobs_go_but_not_those_at_work_nor_their_runs(workspace: Path) -> None:
    over, works = job(workspace, "aaaa", "other-3"), job(workspace, "bbbb", "resumed-4")
    run = at_site(workspace, "resumed", ended=False)
    said = prune(workspace, "python -m nvflare… -n bbbb --set")
    assert said == ["removed NVFlare job aaaa, 2.0 MB"]
    assert (over.exists(), works.exists(), (run / "last").exists()) == (False, True, True)


def test_the_server_keeps_only_the_segment_that_may_still_be_fetched(workspace: Path) -> None:
    first, last = archive(workspace, "aaaa", "new-1-9"), archive(workspace, "bbbb", "new-1-10")
    foreign = [archive(workspace, "cccc", "foreign-1"), archive(workspace, "dddd", "foreign-2")]
    at_server(workspace, "ended", "failed")
    of_ended = archive(workspace, "eeee", "ended-0")
    said = prune(workspace, "")
    assert "removed results of segment 9 of run new-1, 0.0 MB" in said
    assert (first.exists(), last.exists(), of_ended.exists()) == (False, True, False)
    assert first.with_name("meta").is_file(), "the job and its status stay"
    assert all(file.exists() for file in foreign), "another program's jobs are its own affair"


def test_downloads_of_yesterday_go(workspace: Path) -> None:
    old = write(workspace / "transfer" / "one" / "part", "x", 2 * 24 * 3600.0)
    new = write(workspace / "transfer" / "two" / "part", "x", 60)
    prune(workspace, "")
    assert (old.parent.exists(), new.exists()) == (False, True)


def test_there_may_be_nothing_yet(tmp_path: Path) -> None:
    assert prune(tmp_path / "workspace", "") == []
