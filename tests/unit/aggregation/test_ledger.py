"""The record of a run: complete after every round, and a success only if it is one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mediswarm.aggregation.coordinator import Coordinator
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import ContractError, JobError, MediSwarmError, RunCrashed, RunFailed, RunTimedOut
from mediswarm.pipelines import load_pipeline
from mediswarm.training.model_store import describe_artefact

SITES = ("aachen", "berlin", "cork")


class Run:
    """A run whose sites are played by the test."""

    def __init__(self, job: Any, folder: Path, introduce: Any, contribute: Any, judge: Any) -> None:
        self.job, self.folder = job, folder
        self.seen: list[dict[str, Any]] = []
        self.centre = Coordinator(job, load_pipeline(job), folder, "run-7", self.seen.append)
        self.contribution, self.judgement = contribute, judge
        self.centre.admit({site: introduce(job) for site in SITES}, {})

    def round(
        self, number: int, right: int = 5, failing: dict[str, str] | None = None, step: float = 0.1
    ) -> None:
        """One round whose received model recognises `right` of 10 cases at every site."""
        weights = self.centre.order(number).weights
        for site in SITES:
            if failing and site in failing:
                self.centre.exclude(site, number, failing[site])
                continue
            update = {name: torch.full_like(value, step) for name, value in weights.items()}
            counts = self.judgement(self.job, right, 10 - right).validation
            self.centre.accept(
                site, self.contribution(update, round=number, metrics=counts, cases=20, loss=0.7)
            )
        self.centre.end_round(number)

    def finish(self, right: int) -> None:
        said = {site: self.judgement(self.job, right, 10 - right) for site in SITES}
        self.centre.judged(said)
        self.centre.finish(said)

    def fail(self, error: MediSwarmError) -> dict[str, Any]:
        self.centre.ledger.fail(error)
        return self.record

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return found

    @property
    def rows(self) -> list[dict[str, str]]:
        with (self.folder / "contributions.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture
def start(make_job: Any, tmp_path: Path, introduce: Any, contribute: Any, judge: Any) -> Any:
    def start(mode: str = "max", **workflow: Any) -> Run:
        job = make_job(
            workflow={"name": "fedavg", "rounds": 4} | workflow,
            selection={"metric": "accuracy", "mode": mode},
        )
        return Run(job, tmp_path / "run", introduce, contribute, judge)

    return start


def test_the_record_has_content_after_every_round(start: Any) -> None:
    run = start()
    run.round(0, right=3)
    record = run.record
    assert (record["run_id"], record["state"], record["error"]) == ("run-7", "running", None)
    assert (record["job"], record["job_hash"]) == (run.job.name, run.job.hash)
    assert record["participants"]["berlin"]["cases"] == {"train": 10, "validation": 5, "test": 5}
    assert record["contract"] == run.centre.pipeline.contract()
    assert record["rounds"][0]["contributed"] == list(SITES)
    assert record["scores"]["0"]["accuracy"] == pytest.approx(0.3)
    assert record["scores"]["0"]["loss"] == pytest.approx(0.5)
    assert [(row["round"], row["site"], row["state"]) for row in run.rows] == [
        ("0", site, "contributed") for site in SITES
    ]
    assert {(row["cases"], row["weight"], row["loss"], row["metric"]) for row in run.rows} == {
        ("20", "20.0", "0.7", "0.3")
    }


def test_a_successful_run_is_written_once_more_at_its_end(start: Any) -> None:
    run = start()
    for number in range(4):
        run.round(number, right=number + 2)
    run.finish(right=9)
    record = run.record
    assert record["state"] == "succeeded"
    assert record["finished"] >= record["started"]
    assert list(record["scores"]) == ["0", "1", "2", "3", "4"]
    assert record["best"] == {"model": 4, "metric": "accuracy", "value": 0.9}
    assert record["versions"]["pipeline"] == "./pipeline.py 1"
    assert len(run.rows) == 12
    assert [event["event"] for event in run.seen] == (
        ["start", *["contribution"] * 3, "round"]
        + ["contribution", "contribution", "contribution", "round"] * 3
        + ["end"]
    )
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run.seen


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 1)])
def test_the_best_model_is_the_best_by_metric_and_mode(mode: str, best: int, start: Any) -> None:
    run = start(mode)
    initial = run.centre.strategy.weights
    for number, right in enumerate([5, 1, 8, 3]):
        run.round(number, right)
    run.finish(right=5)
    assert run.record["best"]["model"] == best
    said = describe_artefact(run.folder / "best")
    assert (said.round, said.value) == (best, [0.5, 0.1, 0.8][best])
    assert describe_artefact(run.folder / "last").round == 4
    # every round moved every weight by 0.1
    store = run.centre.store
    for name, value in store.load("best").items():
        torch.testing.assert_close(value, initial[name] + 0.1 * best)


def test_the_first_of_equally_good_models_is_kept(start: Any) -> None:
    run = start()
    for number in range(4):
        run.round(number, right=6)
    run.finish(right=6)
    assert run.record["best"]["model"] == 1


def test_the_untrained_model_is_never_the_best(start: Any) -> None:
    run = start()
    for number, right in enumerate([9, 1, 8, 3]):
        run.round(number, right)
    run.finish(right=5)
    assert run.record["scores"]["0"]["accuracy"] == 0.9
    assert run.record["best"]["model"] == 2


def test_an_excluded_site_is_recorded_with_its_reason(start: Any) -> None:
    run = start(round_quorum=2)
    run.round(0)
    run.round(1, failing={"berlin": "MS-H003"})
    run.round(2)
    run.round(3)
    run.finish(right=6)
    record = run.record
    assert record["state"] == "succeeded"
    assert record["rounds"][1]["contributed"] == ["aachen", "cork"]
    assert record["rounds"][1]["excluded"] == {"berlin": "MS-H003"}
    assert record["rounds"][2]["excluded"] == {}
    assert [row["reason"] for row in run.rows if row["state"] == "excluded"] == ["MS-H003"]
    exclusion = next(event for event in run.seen if event["event"] == "exclusion")
    assert (exclusion["site"], exclusion["round"], exclusion["reason"]) == ("berlin", 1, "MS-H003")


@pytest.mark.parametrize(
    ("quorum", "failing", "state", "code"),
    [
        ("all", {"berlin": "MS-H003"}, "failed", "MS-R002"),
        (2, {"berlin": "MS-H003", "cork": "MS-R006"}, "failed", "MS-R002"),
        # sites that are lost may come back: such a run can be gone on with
        (1, dict.fromkeys(SITES, "MS-R006"), "crashed", "MS-R006"),
    ],
)
def test_below_quorum_the_run_fails_and_says_why(
    quorum: Any, failing: dict[str, str], state: str, code: str, start: Any
) -> None:
    run = start(round_quorum=quorum)
    run.round(0)
    before = run.centre.store.load("last")
    with pytest.raises(MediSwarmError) as caught:
        run.round(1, failing=failing)
    assert caught.value.code == code
    assert all(
        f"{site} ({reason}: {ERROR_CODES[reason].title})" in caught.value.message
        for site, reason in failing.items()
    )
    assert [event["round"] for event in run.seen if event["event"] == "round"] == [0]
    record = run.fail(caught.value)
    assert (record["state"], record["error"]["code"]) == (state, code)
    assert record["finished"]
    assert record["rounds"][1]["excluded"] == failing
    # the model of the last full round is whole
    assert describe_artefact(run.folder / "last").round == 1
    assert all(torch.equal(value, before[name]) for name, value in run.centre.store.load("last").items())


def test_a_run_that_learned_nothing_is_no_success(start: Any) -> None:
    run = start()
    for number in range(4):
        run.round(number, step=0.0)
    with pytest.raises(RunFailed, match="after 4 rounds the model is the one it started from") as caught:
        run.finish(right=5)
    assert caught.value.code == "MS-R003"
    assert run.record["state"] == "running"
    assert run.fail(caught.value)["state"] == "failed"


def test_a_metric_that_no_site_can_say_ends_the_run(start: Any) -> None:
    run = start()
    nothing = run.judgement(run.job, 0)
    nothing.validation["judged_cases"] = [1.0]
    with pytest.raises(RunFailed, match="accuracy of model 0 is undefined at every site") as caught:
        run.centre.judged(dict.fromkeys(SITES, nothing))
    assert caught.value.code == "MS-R009"
    assert "two classes" in caught.value.repair


def test_a_contribution_without_metrics_is_refused(start: Any, contribute: Any) -> None:
    run = start()
    weights = run.centre.order(0).weights
    with pytest.raises(ContractError, match="site cork sent no metrics") as caught:
        run.centre.accept("cork", contribute(weights))
    assert caught.value.code == "MS-C004"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RunFailed("MS-R002", "quorum"), "failed"),
        (RunFailed("MS-R004", "diverged"), "failed"),
        (RunCrashed("MS-R006", "died"), "crashed"),
        (RunTimedOut("MS-R005", "slow"), "timed out"),
        (RunFailed("MS-R007", "aborted"), "stopped"),
        (ContractError("MS-C001", "differs"), "failed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_each_end_has_its_name(error: MediSwarmError, state: str, start: Any) -> None:
    run = start()
    record = run.fail(error)
    assert record["state"] == state
    assert record["error"] == error.as_dict()
    assert run.seen[-1]["event"] == "end"
    assert run.seen[-1]["state"] == state


def test_a_metric_that_is_no_number_never_becomes_the_best(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    monkeypatch.setattr(run.centre.ledger.pipeline, "metrics", lambda counts: {"accuracy": float("nan")})
    with pytest.raises(RunFailed) as caught:
        run.round(0)
    assert caught.value.code == "MS-R009"
    assert run.centre.ledger.best is None


def test_the_record_stays_json_when_a_model_diverges(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start()
    metrics = {"accuracy": 0.5, "cox_loss": float("inf"), "other": float("nan")}
    monkeypatch.setattr(run.centre.ledger.pipeline, "metrics", lambda counts: dict(metrics))
    run.round(0)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    for text in (run.folder / "events.jsonl").read_text().splitlines():
        json.loads(text, parse_constant=refuse)
    record = json.loads((run.folder / "run.json").read_text(), parse_constant=refuse)
    assert record["scores"]["0"] | {"loss": 0} == {
        "accuracy": 0.5,
        "cox_loss": None,
        "other": None,
        "loss": 0,
    }


@pytest.mark.parametrize(
    ("exclude", "said"), [(["haed.*"], "'haed.\\*' matches none"), (["*"], "leaves no parameter to share")]
)
def test_a_pattern_that_does_not_fit_the_model_ends_the_run_before_round_0(
    exclude: list[str], said: str, make_job: Any, tmp_path: Path, introduce: Any, contribute: Any, judge: Any
) -> None:
    job = make_job(exchange={"exclude": exclude})
    with pytest.raises(JobError, match=said) as caught:
        Run(job, tmp_path / "run", introduce, contribute, judge)
    assert (caught.value.code, caught.value.file) == ("MS-J013", str(job.folder / "job.yml"))
