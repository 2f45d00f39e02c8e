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
from mediswarm.flare.messages import CONTRIBUTE, JUDGE, at_hand, pack, unpack
from mediswarm.flare.round_controller import Accept, RoundController
from mediswarm.flare.site_settings import weights_store
from mediswarm.pipelines.find import load_pipeline
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Cyclic, Job
from mediswarm.training.crossing import Contribution, Judgement, JudgeOrder


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
        job, centre = self._job, self._centre
        budget = job.workflow.round_budget

        def ask(task: str, message: Shareable, sites: list[str], accept: Accept) -> dict[str, str]:
            return self.ask(task, message, sites, budget, abort_signal, fl_ctx, accept)

        sites = centre.admit(*self.introduced(budget, abort_signal, fl_ctx))

        def judge(weights: Weights | None, keep_predictions: bool) -> dict[str, Judgement]:
            said: dict[str, Judgement] = {}
            shown = None if weights is None else centre.shown(weights)
            order = JudgeOrder(shown, centre.totals, keep_predictions)
            failed = ask(
                JUDGE,
                pack(order),
                sites,
                lambda site, answer: said.__setitem__(site, unpack(Judgement, answer)),
            )
            require_quorum(failed, sites, job.workflow.round_quorum, "final judgement")
            return said

        def accept(site: str, answer: Shareable) -> None:
            said = unpack(Contribution, answer)
            control = None if said.control is None else at_hand(said.control)
            centre.accept(site, replace(said, update=at_hand(said.update), control=control))

        end = min(job.workflow.rounds, centre.model + self.rounds)
        for round_ in range(centre.model, end):
            # a cyclic round hands the model from one site to the next
            turns = [[site] for site in sites] if isinstance(job.workflow, Cyclic) else [sites]
            for turn in turns:
                failed = ask(CONTRIBUTE, pack(centre.order(round_)), turn, accept)
                for site, code in failed.items():
                    centre.exclude(site, round_, code)
            centre.end_round(round_)
            if isinstance(job.workflow, Cyclic):
                centre.judged(judge(centre.strategy.weights, keep_predictions=False))
        if end < job.workflow.rounds:
            centre.pause()
            return
        if not isinstance(job.workflow, Cyclic):
            centre.judged(judge(centre.strategy.weights, keep_predictions=False))
        centre.finish(judge(centre.best_weights(), keep_predictions=True))
