"""The centre of a run whose model passes through one place: server workflows and the reference loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mediswarm.aggregation.admission import admit
from mediswarm.aggregation.continuation import Agreement, agreement_of
from mediswarm.aggregation.find import strategy_for
from mediswarm.aggregation.ledger import Ledger, Watch
from mediswarm.errors import ArtefactError, ContractError
from mediswarm.pipelines.base import Pipeline
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Cyclic, Job
from mediswarm.training.crossing import Contribution, Introduction, Judgement, MeasureOrder, Order
from mediswarm.training.model_store import ModelStore
from mediswarm.training.precision import narrow, widened
from mediswarm.training.pretrained import with_pretrained
from mediswarm.training.shared_weights import digest_of
from mediswarm.training.site_run import initial_weights, shared_of
from mediswarm.training.weights_store import default_store


class Coordinator:
    """Ledger, strategy and artefacts of one run, in the order in which a run needs them.

    Call `admit`; then for each round `order`, `accept` or `exclude` for each
    site, `end_round`; then `judged` with the last model, and `finish`. Where the
    folder holds an earlier segment of the run, it goes on from the model there.
    """

    def __init__(
        self,
        job: Job,
        pipeline: Pipeline[Any],
        folder: Path,
        run_id: str,
        watch: Watch | None = None,
        segment: int = 0,
        weights_store: Path | None = None,
    ) -> None:
        """`weights_store` is where pretrained weights are, or None for the account's own store."""
        self.job, self.pipeline, self.folder, self.segment = job, pipeline, folder, segment
        self.ledger = Ledger(job, pipeline, folder, run_id, watch)
        self.totals: Counts = {}
        self.received: dict[str, Judgement] = {}
        self.model = 0
        self.weights_store = weights_store or default_store()

    def admit(self, introductions: dict[str, Introduction], refusals: dict[str, str]) -> list[str]:
        """Check the contract, make or find the model, give the names of the participants."""
        before = agreement_of(self.folder, self.job.hash)
        admitted, left_out, sums = admit(
            self.job, self.pipeline, introductions, refusals, before.contract if before else None
        )
        self.totals = before.totals if before else sums
        weights, trainable, kind = initial_weights(self.job, self.pipeline, self.totals)
        shared = shared_of(self.job, self.pipeline, weights)
        if self.job.pretrained is not None and not before:
            weights = with_pretrained(weights, shared, self.job.pretrained, self.weights_store)
            shared = {name: weights[name] for name in shared}
        self.strategy = strategy_for(self.job.workflow, shared, trainable, len(admitted))
        self.store = ModelStore(self.folder, self.job, self.pipeline, weights, kind)
        if before:
            self.initial = before.initial
            self._go_on()
        else:
            self.store.save_last(shared, 0)
            self.store.wait()
            self.initial = self._digest()
        self.ledger.admitted(admitted, left_out, self.segment, self.model)
        if not before:
            contract = next(iter(admitted.values())).contract
            Agreement(self.job.hash, self.totals, contract, self.initial).write(self.folder)
        return list(admitted)

    def _go_on(self) -> None:
        if not (self.folder / "last").is_dir():
            raise ArtefactError(
                "MS-A004", "the models of this run are gone; those of old runs are pruned", file=self.folder
            )
        self.model = self.store.find("last").round
        last = self.store.load("last")
        self.strategy.weights = {name: last[name] for name in self.strategy.weights}
        self.strategy.restore(self.store.strategy_state(self.model))
        best = self.store.find("best") if (self.folder / "best").is_dir() else None
        self.ledger.go_on(
            self.model,
            {"model": best.round, "metric": best.metric, "value": best.value} if best else None,
        )

    def measure_order(self, round_: int) -> MeasureOrder:
        """What a site is sent before a round, if the pipeline sums over all sites in each."""
        return MeasureOrder(round_, self.shown(self.strategy.weights), self.totals)

    def order(self, round_: int, round_totals: Counts | None = None) -> Order:
        """What a site is sent in a round; the weights, if it has them from measuring, are left out."""
        control = self.strategy.control()
        return Order(
            round=round_,
            weights=None if round_totals else self.shown(self.strategy.weights),
            totals=self.totals,
            control=None if control is None else self.shown(control),
            validate=self._validates,
            round_totals=round_totals or {},
        )

    def accept(self, site: str, contribution: Contribution) -> None:
        """Take a contribution into the round.

        Raises:
            ContractError: MS-C003, MS-C004 or MS-C005; nothing of the contribution is taken then.
        """
        if self._validates and not contribution.metrics:
            raise ContractError("MS-C004", f"site {site} sent no metrics in round {contribution.round}")
        control = None if contribution.control is None else widened(contribution.control)
        weight = self.strategy.add(
            replace(contribution, update=widened(contribution.update), control=control)
        )
        self.ledger.contributed(site, contribution, weight)
        if contribution.metrics:
            self.received[site] = Judgement(contribution.metrics)

    def exclude(self, site: str, round_: int, code: str) -> None:
        """Note that a site did not contribute to the round."""
        self.ledger.excluded(site, round_, code)

    def end_round(self, round_: int) -> None:
        """Check the quorum, score the received model, and commit the next one.

        Raises:
            RunFailed: as :meth:`Ledger.end_round`; the model of the last full round is on disk.
        """
        self.store.wait()
        received, self.received = self.received, {}
        if self.ledger.end_round(round_, received):
            self._promote()
        self.strategy.commit()
        self.model = round_ + 1
        self.store.save_last(self.strategy.weights, self.model, self.strategy.state())

    def pause(self) -> None:
        """End a segment whose run goes on in another; the model is whole on disk then."""
        self.store.wait()
        self.ledger.pause()

    def shown(self, weights: Weights) -> Weights:
        """`weights` as they travel."""
        return narrow(weights, self.job.exchange.precision)

    def judged(self, judgements: dict[str, Judgement]) -> None:
        """Score the present model from judgements of all sites."""
        if self.ledger.judged(self.model, judgements):
            self._promote()

    def best_weights(self) -> Weights | None:
        """The best model's shared weights, or None when it is the present one."""
        if self.ledger.best is None or self.ledger.best["model"] == self.model:
            return None
        best = self.store.load("best")
        return {name: best[name] for name in self.strategy.weights}

    def finish(self, judgements: dict[str, Judgement]) -> None:
        """Note the test metrics of the best model, and end the run."""
        self.store.wait()
        self.ledger.tested(judgements)
        self.ledger.finish(changed=self._digest() != self.initial)

    def close(self) -> None:
        """Return when nothing is being written any more, however the run ended."""
        if "store" in vars(self):
            self.store.wait()

    @property
    def _validates(self) -> bool:
        # in a cyclic round every site receives another model: the model is judged after the round
        return not isinstance(self.job.workflow, Cyclic)

    def _digest(self) -> str:
        # of what is learned: running statistics move without any learning
        return digest_of({name: self.strategy.weights[name] for name in self.strategy.trainable})

    def _promote(self) -> None:
        self.store.promote(self.ledger.best["value"] if self.ledger.best else None)
