"""A site's part of a run: introduce, train rounds, judge models.

Every way of training goes through here: local, reference loop, simulator and
real federation. It knows nothing of how its answers travel.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mediswarm import __version__
from mediswarm.errors import DataError, PipelineError, RunCrashed, RunFailed
from mediswarm.pipelines.base import Cases, Pipeline, Site, SiteData, read_site
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.find import require_plain_contract
from mediswarm.pipelines.learner import Learner, Predictions, RoundPlan, Weights
from mediswarm.spec import Cyclic, Job, Scaffold
from mediswarm.training.control_variate import ControlVariate
from mediswarm.training.crossing import Contribution, Introduction, Judgement, Measured, MeasureOrder, Order
from mediswarm.training.model_store import ModelStore
from mediswarm.training.precision import bytes_of, narrow, widen
from mediswarm.training.predictions import write_predictions
from mediswarm.training.seeds import seed_everything, seed_for
from mediswarm.training.shared_weights import check_exclude, difference, shared_names
from mediswarm.training.site_state import SiteState
from mediswarm.training.torch_learner import TorchLearner
from mediswarm.training.transfer import freeze, parameter_groups


def _never() -> bool:
    return False


class SiteRun:
    """One run at one site.

    Args:
        job: what is trained.
        pipeline: the job's pipeline.
        site: where.
        run_dir: the site's own directory of this run; predictions are written there and stay. A
            process that finds the state of an earlier one there goes on from it.
        stop: asked between steps; True ends the round early (abort).
    """

    def __init__(
        self,
        job: Job,
        pipeline: Pipeline[Any],
        site: Site,
        run_dir: Path,
        stop: Callable[[], bool] = _never,
    ) -> None:
        self.job, self.pipeline, self.site, self.run_dir, self.stop = job, pipeline, site, run_dir, stop
        self.data: SiteData | None = None
        self.learner: Learner | None = None
        self.control = ControlVariate()
        self.state = SiteState(run_dir / "state")
        self.statistics: Counts = {}
        self._metrics_seen = False
        self._measured: tuple[MeasureOrder, Measured, float] | None = None

    def introduce(self) -> Introduction:
        """Read the site's data and say what the others need to know before round 0.

        Raises:
            DataError: whatever the pipeline finds wrong, and MS-D003 for an empty split.
            PipelineError: MS-P003 when the pipeline gives what it must not.
        """
        self.data = read_site(self.pipeline, self.site)
        sizes = {
            "train": len(self.data.train),
            "validation": len(self.data.validation),
            "test": len(self.data.test),
        }
        for split in ("train", "validation"):
            if not sizes[split]:
                raise DataError("MS-D003", f"site {self.site.name} has no {split} cases")
        self.statistics = self.pipeline.statistics(self.data)
        return Introduction(
            job_hash=self.job.hash,
            versions={"mediswarm": __version__, "pipeline": f"{self.job.pipeline} {self.pipeline.version}"},
            contract=require_plain_contract(self.pipeline, self.data.measured),
            cases=sizes,
            statistics=self.statistics,
            metrics=self.pipeline.reported,
        )

    def measure(self, order: MeasureOrder) -> Measured:
        """Count what the round's loss needs of this site's training cases; the weights stay for the round."""
        learner = self._learner(order.totals, order.round)
        started = time.perf_counter()
        learner.load(widen(order.weights))
        predictions = _finite(learner.predict(self._data.train))
        statistics = self.pipeline.round_statistics(predictions.outputs, predictions.targets)
        measured = Measured(statistics)
        self._measured = order, measured, time.perf_counter() - started
        return measured

    def contribute(self, order: Order) -> Contribution:
        """One round: load the received weights, validate them, train, give back the difference.

        Raises:
            RunCrashed: MS-R006 when the order needs a model that was not measured in this round.
        """
        learner = self._learner(order.totals, order.round)
        weights, own, measured_s = self._begun(order)
        started = time.perf_counter()
        received = widen(weights)
        global_control = None if order.control is None else widen(order.control)
        learner.load(received)
        metrics = self._count(learner, self._data.validation)[0] if order.validate else {}
        validated = time.perf_counter()
        self.pipeline.agree_on_round(order.round_totals, own)
        try:
            result = learner.train(self._plan(order.round, global_control))
        finally:
            self.pipeline.agree_on_round({}, {})
        trained = time.perf_counter()
        precision = self.job.exchange.precision
        trained_weights = learner.weights()
        update, control = difference(trained_weights, received), None
        if global_control is not None and result.lr_sum > 0:
            change = self.control.renew(global_control, update, result.lr_sum, precision)
            control = narrow(change, precision)
        update = narrow(update, precision)
        self._keep(order.round + 1, learner, trained_weights, received)
        events = self.statistics.get("events")
        return Contribution(
            round=order.round,
            cases=result.cases,
            steps=result.steps,
            loss=result.loss,
            update=update,
            events=events[0] if events else None,
            control=control,
            metrics=metrics,
            seconds={"validate": measured_s + validated - started, "train": trained - validated},
            received_bytes=bytes_of(weights) + bytes_of(order.control),
            sent_bytes=bytes_of(update) + bytes_of(control),
        )

    def judge(self, weights: Weights | None, totals: Counts, keep_predictions: bool) -> Judgement:
        """Count a model's right and wrong on this site's cases.

        Args:
            weights: the model, in the exchange's precision, or None for the one that is loaded.
            totals: summed statistics of all sites.
            keep_predictions: also judge the test cases, write the predictions of both
                splits to ``<run_dir>/predictions/<split>.csv``, and, where parameters stay
                local, the site's own model to ``<run_dir>/personal/last``.
        """
        started = time.perf_counter()
        learner = self._learner(totals)
        if weights is not None:
            learner.load(widen(weights))
        validation, predicted = self._count(learner, self._data.validation)
        test: Counts = {}
        if keep_predictions:
            folder = self.run_dir / "predictions"
            write_predictions(folder / "validation.csv", self.pipeline, self._data.validation, predicted)
            if len(self._data.test):
                test, predicted = self._count(learner, self._data.test)
                write_predictions(folder / "test.csv", self.pipeline, self._data.test, predicted)
            self._keep_personal_model(learner.weights(), totals)
        return Judgement(validation, test, time.perf_counter() - started)

    def close(self) -> None:
        """Release what the learner holds; the site's state is whole on disk then."""
        self.state.wait()
        if self.learner is not None:
            self.learner.close()

    def _begun(self, order: Order) -> tuple[Weights, Counts, float]:
        """The round's weights; where they came to be measured, what was counted, and the seconds it took."""
        if order.weights is not None:
            return order.weights, {}, 0.0
        measured, self._measured = self._measured, None
        if measured is None or measured[0].round != order.round:
            raise RunCrashed("MS-R006", f"this site has not measured the model of round {order.round}")
        return measured[0].weights, measured[1].statistics, measured[2]

    def _keep_personal_model(self, own: Weights, totals: Counts) -> None:
        """Save the judged model with this site's local parameters, which no one else has."""
        if len(shared_of(self.job, self.pipeline, own)) == len(own):
            return
        initial, _, kind = initial_weights(self.job, self.pipeline, totals)
        store = ModelStore(self.run_dir / "personal", self.job, self.pipeline, initial, kind)
        store.save_last(own, self.job.workflow.rounds)
        store.wait()

    @property
    def _data(self) -> SiteData:
        if self.data is None:
            self.introduce()
        assert self.data is not None  # noqa: S101 - introduce() has just set it
        return self.data

    def _keep(self, rounds: int, learner: Learner, weights: Weights, shared: Weights) -> None:
        """Write what another process of this site would need to go on."""
        state = {f"local/{name}": value for name, value in weights.items() if name not in shared}
        state |= {f"learner/{name}": value for name, value in learner.state().items()}
        state |= {f"control/{name}": value for name, value in self.control.own.items()}
        if state:
            self.state.save(rounds, state)

    def _restore(self, learner: Learner, rounds: int | None) -> None:
        kept: dict[str, Weights] = {"local": {}, "learner": {}, "control": {}}
        for key, value in self.state.load(rounds).items():
            kind, _, name = key.partition("/")
            kept[kind][name] = value
        learner.load(kept["local"])
        if kept["learner"]:
            learner.restore(kept["learner"])
        self.control.own = kept["control"]

    def _learner(self, totals: Counts, rounds: int | None = None) -> Learner:
        """The learner; a new one goes on from what the site had after `rounds` rounds (None: the last)."""
        if self.learner is None:
            data = self._data
            self.pipeline.agree(totals)
            seed_everything(seed_for(self.job, "", 0, "model"))
            self.learner = self.pipeline.learner(data, self.job.training, self.site) or TorchLearner(
                self.pipeline, data, self.job.training, self.site.device
            )
            self._restore(self.learner, rounds)
        return self.learner

    def _plan(self, round_: int, global_control: Weights | None) -> RoundPlan:
        workflow = self.job.workflow
        return RoundPlan(
            round=round_,
            rounds=workflow.rounds,
            seed=seed_for(self.job, self.site.name, round_),
            proximal_mu=0.0 if isinstance(workflow, Scaffold | Cyclic) else workflow.proximal_mu,
            control=None if global_control is None else self.control.correction(global_control),
            stop=self.stop,
        )

    def _count(self, learner: Learner, cases: Cases) -> tuple[Counts, Predictions]:
        predictions = _finite(learner.predict(cases))
        counts = self.pipeline.count(predictions.outputs, predictions.targets)
        if not self._metrics_seen:
            given = set(self.pipeline.metrics(counts))
            if given != set(self.pipeline.reported):
                raise PipelineError(
                    "MS-P003",
                    f"metrics() gave {', '.join(sorted(given)) or 'none'}, "
                    f"but reported names {', '.join(self.pipeline.reported)}",
                    file=inspect.getsourcefile(type(self.pipeline)),
                )
            self._metrics_seen = True
        judged = float(len(cases))
        return counts | {"judged_cases": [judged], "judged_loss": [predictions.loss * judged]}, predictions


def _finite(predictions: Predictions) -> Predictions:
    if not (torch.isfinite(predictions.outputs).all() and math.isfinite(predictions.loss)):
        raise RunFailed("MS-R004", "predictions of the model are no longer finite numbers")
    return predictions


def initial_weights(job: Job, pipeline: Pipeline[Any], totals: Counts) -> tuple[Weights, set[str], str]:
    """The model that every run of the job starts from.

    Returns:
        all its weights, the names of its trainable parameters, and its class.

    Raises:
        PipelineError: MS-P003 when model() gives something else than a module.
        JobError: MS-J015 when `training.freeze` or `training.optimizer.lr_groups` does not fit it.
    """
    pipeline.agree(totals)
    seed_everything(seed_for(job, "", 0, "model"))
    model = pipeline.model()
    if not isinstance(model, nn.Module):
        raise PipelineError(
            "MS-P003",
            f"model() gave a {type(model).__name__}, and must give a torch.nn.Module",
            file=inspect.getsourcefile(type(pipeline)),
        )
    file = job.folder / "job.yml"
    freeze(model, job.training.freeze, file)
    parameter_groups(model, job.training.optimizer.lr_groups, file)
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    return weights, trainable, type(model).__name__


def shared_of(job: Job, pipeline: Pipeline[Any], weights: Weights) -> Weights:
    """Those of `weights` that the job and the pipeline let leave a site.

    Masks and flags (boolean buffers) have no mean; they are the model's structure, the same everywhere.

    Raises:
        JobError: MS-J013 when `exchange.exclude` does not fit the model.
    """
    check_exclude(weights, job.exchange.exclude, job.folder / "job.yml")
    names = shared_names(weights, (*job.exchange.exclude, *pipeline.local_parameters))
    return {name: weights[name] for name in names if weights[name].dtype != torch.bool}
