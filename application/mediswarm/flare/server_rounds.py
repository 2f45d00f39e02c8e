"""Workflows whose model passes through the server: fedavg, fedopt, scaffold, cyclic."""

from __future__ import annotations

from dataclasses import replace

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from mediswarm.aggregation.coordinator import Coordinator
from mediswarm.aggregation.ledger import Ledger
from mediswarm.aggregation.quorum import require_quorum
from mediswarm.flare.job_folder import run_folder
from mediswarm.flare.messages import CONTRIBUTE, JUDGE, MEASURE, at_hand, pack, unpack
from mediswarm.flare.round_controller import Accept, RoundController
from mediswarm.flare.site_settings import weights_store
from mediswarm.pipelines.counts import Counts, add_counts
from mediswarm.pipelines.find import load_pipeline
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Cyclic, Job
from mediswarm.spec.workflow import required
from mediswarm.training.crossing import Contribution, Judgement, JudgeOrder, Measured


class ServerRounds(RoundController):
    """Broadcasts the model, takes the sites' updates, commits the next one."""

    def prepare(self, job: Job, fl_ctx: FLContext) -> Ledger:
        self._job = job
        folder = run_folder(fl_ctx, self.run_id)
        self._centre = Coordinator(
            job,
            load_pipeline(job),
            folder,
            self.run_id,
            segment=self.segment,
            weights_store=weights_store(),
        )
        return self._centre.ledger

    def run(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        self._abort, self._ctx = abort_signal, fl_ctx
        job, centre = self._job, self._centre
        sites = centre.admit(*self.introduced(job.workflow.round_budget, abort_signal, fl_ctx))
        end = min(job.workflow.rounds, centre.model + self.rounds)
        for round_ in range(centre.model, end):
            self._round(round_, sites)
            if isinstance(job.workflow, Cyclic):
                centre.judged(self._judge(centre.strategy.weights, sites, keep_predictions=False))
        if end < job.workflow.rounds:
            centre.pause()
            return
        if not isinstance(job.workflow, Cyclic):
            centre.judged(self._judge(centre.strategy.weights, sites, keep_predictions=False))
        centre.finish(self._judge(centre.best_weights(), sites, keep_predictions=True))

    def _round(self, round_: int, sites: list[str]) -> None:
        centre = self._centre
        sums: Counts = {}
        if centre.pipeline.sums_each_round:
            present, (sites, sums) = len(sites), self._measure(round_, sites)
            if len(sites) < required(self._job.workflow.round_quorum, present):
                centre.end_round(round_)  # which notes the round, and raises
        # a cyclic round hands the model from one site to the next
        turns = [[site] for site in sites] if isinstance(self._job.workflow, Cyclic) else [sites]
        for turn in turns:
            failed = self._ask(CONTRIBUTE, pack(centre.order(round_, sums)), turn, self._accept)
            for site, code in failed.items():
                centre.exclude(site, round_, code)
        centre.end_round(round_)

    def _accept(self, site: str, answer: Shareable) -> None:
        said = unpack(Contribution, answer)
        control = None if said.control is None else at_hand(said.control)
        self._centre.accept(site, replace(said, update=at_hand(said.update), control=control))

    def _measure(self, round_: int, sites: list[str]) -> tuple[list[str], Counts]:
        """The sites that measured the round's model, and the sum; the others are left out of the round."""
        said: dict[str, Measured] = {}
        failed = self._ask(
            MEASURE,
            pack(self._centre.measure_order(round_)),
            sites,
            lambda site, answer: said.__setitem__(site, unpack(Measured, answer)),
        )
        for site, code in failed.items():
            self._centre.exclude(site, round_, code)
        return list(said), add_counts(measured.statistics for measured in said.values())

    def _judge(
        self, weights: Weights | None, sites: list[str], *, keep_predictions: bool
    ) -> dict[str, Judgement]:
        said: dict[str, Judgement] = {}
        shown = None if weights is None else self._centre.shown(weights)
        failed = self._ask(
            JUDGE,
            pack(JudgeOrder(shown, self._centre.totals, keep_predictions)),
            sites,
            lambda site, answer: said.__setitem__(site, unpack(Judgement, answer)),
        )
        require_quorum(failed, sites, self._job.workflow.round_quorum, "final judgement")
        return said

    def _ask(self, task: str, message: Shareable, sites: list[str], accept: Accept) -> dict[str, str]:
        budget = self._job.workflow.round_budget
        return self.ask(task, message, sites, budget, self._abort, self._ctx, accept)
