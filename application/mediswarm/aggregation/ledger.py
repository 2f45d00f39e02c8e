"""The run record: who contributed what, which model is best, and whether the run is a success."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mediswarm import __version__
from mediswarm.aggregation.continuation import written_contributions, written_record
from mediswarm.aggregation.quorum import require_quorum
from mediswarm.errors import MediSwarmError, RunFailed
from mediswarm.pipelines.base import Pipeline
from mediswarm.pipelines.counts import Counts, add_counts
from mediswarm.spec import Job
from mediswarm.spec.outcome import State, now, state_of
from mediswarm.spec.whole_file import write_whole
from mediswarm.training.crossing import Contribution, Introduction, Judgement

Watch = Callable[[dict[str, Any]], None]
COLUMNS = (
    "round", "site", "state", "reason", "cases", "steps", "weight", "loss", "validate_s", "train_s",
    "received_bytes", "sent_bytes", "metric",
)  # fmt: skip


@dataclass
class Ledger:
    """Book-keeping of one run; holds no weights.

    A model's number is the count of rounds it has behind it: model 0 is the
    initial one, round r receives model r and makes model r + 1. The files
    ``run.json``, ``contributions.csv`` and ``events.jsonl`` in `folder` are
    complete after the start and after every round.
    """

    job: Job
    pipeline: Pipeline[Any]
    folder: Path
    run_id: str
    watch: Watch | None = None
    state: State = "running"
    error: dict[str, Any] | None = None
    participants: dict[str, dict[str, Any]] = field(default_factory=dict)
    contract: dict[str, Any] = field(default_factory=dict)
    present: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    segments: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[int, dict[str, float | None]] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    test: dict[str, dict[str, float | None]] = field(default_factory=dict)
    started: str = field(init=False)
    finished: str | None = None
    _clock: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.started = now()
        if (self.folder / "run.json").is_file():
            self._take_over(written_record(self.folder))

    def _take_over(self, record: dict[str, Any]) -> None:
        """Go on with the record of the run's earlier segments: whatever happens now, it is not lost."""
        self.started, self.participants = record["started"], record["participants"]
        self.segments, self.rounds, self.best = record["segments"], record["rounds"], record["best"]
        self.contract = record.get("contract", {})
        self.scores = {int(key): score for key, score in record["scores"].items()}
        self.rows = written_contributions(self.folder)

    def go_on(self, model: int, best: dict[str, Any] | None) -> None:
        """Cut the record of earlier segments back to the model that is there.

        Args:
            model: number of the model to go on from; rounds after it are done again.
            best: model number, metric and value of the best model on disk.
        """
        lost = sum(entry["round"] >= model for entry in self.rounds)
        if self.segments:
            self.segments[-1]["rounds_lost"] = lost
            if self.segments[-1]["state"] == "running":  # its process was killed and could not say so
                self.segments[-1] |= {"ended": now(), "state": "crashed", "error": "MS-R008"}
        self.best = best
        self.rounds = [entry for entry in self.rounds if entry["round"] < model]
        self.scores = {number: score for number, score in self.scores.items() if number <= model}
        self.rows = [row for row in self.rows if row["round"] < model]

    def admitted(
        self,
        introductions: dict[str, Introduction],
        left_out: dict[str, str],
        segment: int = 0,
        first_round: int = 0,
    ) -> None:
        """Note who takes part in the rounds from `first_round` on."""
        self.present, self.left_out = list(introductions), left_out
        # those admitted have the same, with what was measured
        self.contract = next((said.contract for said in introductions.values()), self.contract)
        for site, said in introductions.items():
            joined = self.participants.get(site, {}).get("joined", first_round)
            self.participants[site] = {
                "cases": said.cases,
                "joined": joined,
                "versions": said.versions,
                "image": said.image,
            }
        self.segments.append(
            {
                "segment": segment,
                "first_round": first_round,
                "sites": self.present,
                "left_out": left_out,
                "started": now(),
                "ended": None,
                "state": "running",
                "error": None,
            }
        )
        self._clock = time.perf_counter()
        self.write()
        self.event("start", sites=self.present, left_out=left_out, segment=segment, first_round=first_round)

    def contributed(self, site: str, contribution: Contribution, weight: float) -> None:
        """Note a contribution to the present round."""
        metrics = self._metrics(contribution.metrics) if contribution.metrics else {}
        row = {
            "round": contribution.round,
            "site": site,
            "state": "contributed",
            "reason": "",
            "cases": contribution.cases,
            "steps": contribution.steps,
            "weight": weight,
            "loss": contribution.loss,
            "validate_s": contribution.seconds.get("validate", 0.0),
            "train_s": contribution.seconds.get("train", 0.0),
            "received_bytes": contribution.received_bytes,
            "sent_bytes": contribution.sent_bytes,
            "metric": metrics.get(self.job.selection.metric),
        }
        self.rows.append(row)
        self.event("contribution", **row)

    def excluded(self, site: str, round_: int, code: str) -> None:
        """Note that a site does not count in a round, and why. Loud: it is shown and recorded."""
        row = dict.fromkeys(COLUMNS) | {"round": round_, "site": site, "state": "excluded", "reason": code}
        self.rows.append(row)
        self.event("exclusion", **row)

    def end_round(self, round_: int, judgements: dict[str, Judgement]) -> bool:
        """Check the round's quorum, and score the model the round received.

        Args:
            round_: the round that ends.
            judgements: validation counts of model `round_` by site; empty if it was not judged.

        Returns:
            whether that model is the best so far.

        Raises:
            MediSwarmError: below quorum, as :func:`mediswarm.aggregation.quorum.require_quorum`;
                RunFailed MS-R009 when the metric is undefined everywhere.
        """
        sites = sorted(
            row["site"] for row in self.rows if row["round"] == round_ and row["state"] == "contributed"
        )
        reasons = {
            row["site"]: row["reason"] for row in self.rows if row["round"] == round_ and row["reason"]
        }
        seconds, self._clock = time.perf_counter() - self._clock, time.perf_counter()
        self.rounds.append(
            {"round": round_, "contributed": sites, "excluded": reasons, "seconds": round(seconds, 3)}
        )
        best = self.judged(round_, judgements)
        require_quorum(reasons, self.present, self.job.workflow.round_quorum, f"round {round_}")
        self.event("round", round=round_, seconds=seconds, metrics=self.scores.get(round_), contributed=sites)
        self.write()
        return best

    def aggregated(self, site: str, digest: str, changed: bool) -> None:
        """Note who made the round's model where no server holds it; from now on the round is committed."""
        self.rounds[-1] |= {"aggregator": site, "model": digest, "changed": changed}
        self.write()

    def best_before(self, model: int) -> dict[str, Any] | None:
        """The best of the scored models with numbers from 1 to below `model`."""
        metric = self.job.selection.metric
        best: dict[str, Any] | None = None
        for number in range(1, model):
            value = self.scores.get(number, {}).get(metric)
            if value is not None and self.job.selection.better(value, best["value"] if best else None):
                best = {"model": number, "metric": metric, "value": value}
        return best

    def judged(self, model: int, judgements: dict[str, Judgement]) -> bool:
        """Score a model from its validation counts, summed over the sites; True if it is the best so far.

        Model 0 is scored and never best: on few validation cases an untrained model can win by chance.

        Raises:
            RunFailed: MS-R009 when no site can say what the selection metric is.
        """
        if not judgements:
            return False
        counts = add_counts(said.validation for said in judgements.values())
        score = self._metrics(counts)
        score["loss"] = _finite(counts["judged_loss"][0] / counts["judged_cases"][0])
        self.scores[model] = score
        value = score[self.job.selection.metric]
        if value is None:
            raise RunFailed(
                "MS-R009", f"{self.job.selection.metric} of model {model} is undefined at every site"
            )
        if model == 0 or not self.job.selection.better(value, self.best["value"] if self.best else None):
            return False
        self.best = {"model": model, "metric": self.job.selection.metric, "value": value}
        return True

    def tested(self, judgements: dict[str, Judgement]) -> None:
        """Note the best model's metrics on each site's test cases."""
        self.test = {site: self._metrics(said.test) for site, said in sorted(judgements.items()) if said.test}

    def finish(self, changed: bool) -> None:
        """End the run as a success, if it is one.

        Raises:
            RunFailed: MS-R003 when no round changed the model.
        """
        if not changed:
            raise RunFailed(
                "MS-R003", f"after {len(self.rounds)} rounds the model is the one it started from"
            )
        self._end("succeeded", None)

    def pause(self) -> None:
        """End a segment whose run goes on in another."""
        self._end_segment("paused", None)
        self.write()
        self.event("pause", rounds=len(self.rounds))

    def fail(self, error: MediSwarmError) -> None:
        """End the run as what the error says: failed, crashed, timed out or stopped."""
        self._end(state_of(error), error.as_dict())

    def event(self, kind: str, **fields: Any) -> None:
        """Append one line to events.jsonl, what a live view reads, and tell the watcher."""
        self.folder.mkdir(parents=True, exist_ok=True)
        event = {"time": now(), "event": kind, **fields}
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")
        if self.watch:
            self.watch(event)

    def record(self) -> dict[str, Any]:
        """The run record as it stands."""
        return {
            "run_id": self.run_id,
            "state": self.state,
            "error": self.error,
            "job": self.job.name,
            "job_hash": self.job.hash,
            "workflow": self.job.workflow.model_dump(mode="json"),
            "exchange": self.job.exchange.model_dump(mode="json"),
            "seed": self.job.training.seed,
            "versions": {
                "mediswarm": __version__,
                "pipeline": f"{self.job.pipeline} {self.pipeline.version}",
            },
            "started": self.started,
            "finished": self.finished,
            "contract": self.contract,
            "participants": self.participants,
            "left_out": self.left_out,
            "segments": self.segments,
            "rounds": self.rounds,
            "scores": {str(model): score for model, score in sorted(self.scores.items())},
            "best": self.best,
            "test": self.test,
        }

    def write(self) -> None:
        """Write run.json and contributions.csv, each in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = self.folder / ".contributions.csv.partial"
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        table.replace(self.folder / "contributions.csv")
        write_whole(self.folder / "run.json", json.dumps(self.record(), indent=2) + "\n")

    def _metrics(self, counts: Counts) -> dict[str, float | None]:
        """The pipeline's, where JSON has a number for them; a model that diverged has infinite ones."""
        return {name: _finite(value) for name, value in self.pipeline.metrics(counts).items()}

    def _end(self, state: State, error: dict[str, Any] | None) -> None:
        self.state, self.error, self.finished = state, error, now()
        self._end_segment(state, error)
        self.write()
        self.event("end", state=state, error=error)

    def _end_segment(self, state: str, error: dict[str, Any] | None) -> None:
        if self.segments:
            self.segments[-1] |= {"ended": now(), "state": state, "error": error["code"] if error else None}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
