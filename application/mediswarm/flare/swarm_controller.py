"""The swarm workflow's server: it says whose turn it is, keeps the record, and sees no model."""

from __future__ import annotations

from dataclasses import replace

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from mediswarm.aggregation.admission import admit
from mediswarm.aggregation.continuation import Agreement, agreement_of
from mediswarm.aggregation.ledger import Ledger
from mediswarm.aggregation.quorum import require_quorum
from mediswarm.errors import ArtefactError, ContractError, RunCrashed
from mediswarm.flare.job_folder import run_folder
from mediswarm.flare.messages import AGGREGATE, CONTRIBUTE, JUDGE, MEASURE, pack, unpack
from mediswarm.flare.round_controller import Accept, RoundController
from mediswarm.flare.swarm_messages import Aggregated, AggregateOrder, SwarmOrder, SwarmReport
from mediswarm.pipelines.counts import Counts, add_counts
from mediswarm.pipelines.find import load_pipeline
from mediswarm.spec import Job
from mediswarm.spec.workflow import required
from mediswarm.training.crossing import Contribution, Introduction, Judgement, Measured


class SwarmController(RoundController):
    """Rotates the aggregating site from round to round.

    Weights travel from site to site. NVFlare's own swarm workflow loses a run
    with its aggregator, hides the results from filters and leaves neither model
    nor metrics with the operator; here the server keeps the order of things, so
    that quorum, record and selection are those of every other workflow.
    """

    def prepare(self, job: Job, fl_ctx: FLContext) -> Ledger:
        self._job, self._pipeline = job, load_pipeline(job)
        self._folder = run_folder(fl_ctx, self.run_id)
        self._ledger = Ledger(job, self._pipeline, self._folder, self.run_id)
        self._totals: Counts = {}
        self._promote: float | None = None
        self._aggregator: str | None = None
        return self._ledger

    def run(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        self._abort, self._ctx = abort_signal, fl_ctx
        job, ledger = self._job, self._ledger
        introductions, refusals = self.introduced(job.workflow.round_budget, abort_signal, fl_ctx)
        before = agreement_of(self._folder, job.hash)
        admitted, left_out, sums = admit(
            job, self._pipeline, introductions, refusals, before.contract if before else None
        )
        self._totals = before.totals if before else sums
        sites = list(admitted)
        start, holder = self._go_on(admitted) if before else (0, sites[0])
        ledger.admitted(admitted, left_out, self.segment, start)
        if not before:
            contract = next(iter(admitted.values())).contract
            Agreement(job.hash, self._totals, contract, "").write(self._folder)
        rounds = job.workflow.rounds
        end = min(rounds, start + self.rounds)
        for round_ in range(start, end):
            # another site than the one that a lost segment may have been lost with
            aggregator = sites[(round_ + self.segment) % len(sites)]
            holder = self._round(round_, sites, holder, aggregator)
        if end < rounds:
            ledger.pause()
            return
        said = self._judge(SwarmOrder(rounds, holder, self._totals, promote=self._promote), sites)
        self._promote = self._value_if(ledger.judged(rounds, said))
        best = ledger.best["model"] if ledger.best else rounds
        holder = next((site for site, said in admitted.items() if said.held.get("best") == best), holder)
        order = SwarmOrder(best, holder, self._totals, promote=self._promote, keep_predictions=True)
        ledger.tested(self._judge(order, sites))
        ledger.finish(any(entry["changed"] for entry in ledger.rounds))

    def _go_on(self, admitted: dict[str, Introduction]) -> tuple[int, str]:
        """The newest committed model that a site still holds, and that site.

        Raises:
            ArtefactError: MS-A004 when no site has any.
        """
        ledger = self._ledger
        committed = sum("model" in entry for entry in ledger.rounds)
        held = {
            site: said.held["last"]
            for site, said in admitted.items()
            if said.held.get("last", committed + 1) <= committed
        }
        if not held:
            raise ArtefactError("MS-A004", f"none of {', '.join(admitted)} holds a model of this run")
        start = max(held.values())
        lately = ledger.segments[-1]["sites"]
        holders = sorted(
            (site for site, model in held.items() if model == start), key=lambda s: s not in lately
        )
        best = ledger.best_before(start)
        ledger.go_on(start, best)
        if best is not None and best["model"] == start - 1:
            self._promote = best["value"]
        return start, holders[0]

    def waits_in_vain(self, sites: list[str], answered: set[str]) -> bool:
        """Also when the aggregating site is gone: the others try to reach it as long as the budget lasts."""
        return self._is_lost(self._aggregator) or super().waits_in_vain(sites, answered)

    def _is_lost(self, site: str | None) -> bool:
        return site is not None and self.get_client_disconnect_time(site) is not None

    def _round(self, round_: int, sites: list[str], holder: str, aggregator: str) -> str:
        """One round; gives the site that holds the next model."""
        reports: dict[str, SwarmReport] = {}
        order = SwarmOrder(round_, holder, self._totals, aggregator, self._promote)
        if self._pipeline.sums_each_round:
            order, sites = self._measure(order, sites)
            aggregator = order.aggregator
        self._aggregator = aggregator
        failed = self._ask(
            CONTRIBUTE,
            pack(order),
            sites,
            lambda site, answer: reports.__setitem__(site, unpack(SwarmReport, answer)),
        )
        if self._is_lost(aggregator):
            raise RunCrashed("MS-R006", f"round {round_}: the aggregating site {aggregator} is gone")
        for site, report in sorted(reports.items()):
            self._ledger.contributed(site, _contribution(report), report.weight)
        for site, code in failed.items():
            self._ledger.excluded(site, round_, code)
        received = {report.received for report in reports.values()}
        if len(received) > 1:
            raise ContractError(
                "MS-C006", f"round {round_}: the sites trained from {len(received)} different models"
            )
        judged = {site: Judgement(report.metrics) for site, report in reports.items()}
        self._promote = self._value_if(self._ledger.end_round(round_, judged))
        made: list[Aggregated] = []
        lost = self._ask(
            AGGREGATE,
            pack(AggregateOrder(round_, tuple(sorted(reports)), self._promote)),
            [aggregator],
            lambda _, answer: made.append(unpack(Aggregated, answer)),
        )
        if lost:
            raise RunCrashed(
                "MS-R006", f"round {round_}: the aggregating site {aggregator} failed ({lost[aggregator]})"
            )
        self._aggregator = None
        self._ledger.aggregated(aggregator, made[0].digest, made[0].changed)
        return aggregator

    def _measure(self, order: SwarmOrder, sites: list[str]) -> tuple[SwarmOrder, list[str]]:
        """The order with the sum, to the sites that measured the round's model; one of them aggregates."""
        said: dict[str, Measured] = {}
        failed = self._ask(
            MEASURE,
            pack(order),
            sites,
            lambda site, answer: said.__setitem__(site, unpack(Measured, answer)),
        )
        for site, code in failed.items():
            self._ledger.excluded(site, order.model, code)
        if len(said) < required(self._job.workflow.round_quorum, len(self._ledger.present)):
            self._ledger.end_round(order.model, {})  # which notes the round, and raises
        if order.aggregator in failed:
            # who aggregates takes the model in full precision: another one has to, and with it all
            return self._measure(replace(order, aggregator=next(iter(said))), list(said))
        return replace(order, round_totals=add_counts(one.statistics for one in said.values())), list(said)

    def _judge(self, order: SwarmOrder, sites: list[str]) -> dict[str, Judgement]:
        said: dict[str, Judgement] = {}
        failed = self._ask(
            JUDGE, pack(order), sites, lambda site, answer: said.__setitem__(site, unpack(Judgement, answer))
        )
        require_quorum(failed, sites, self._job.workflow.round_quorum, "final judgement")
        return said

    def _ask(self, task: str, message: Shareable, sites: list[str], accept: Accept) -> dict[str, str]:
        budget = self._job.workflow.round_budget
        return self.ask(task, message, sites, budget, self._abort, self._ctx, accept)

    def _value_if(self, best: bool) -> float | None:
        return self._ledger.best["value"] if best and self._ledger.best else None


def _contribution(report: SwarmReport) -> Contribution:
    return Contribution(
        round=report.round,
        cases=report.cases,
        steps=report.steps,
        loss=report.loss,
        update={},
        metrics=report.metrics,
        seconds=report.seconds,
        received_bytes=report.received_bytes,
        sent_bytes=report.sent_bytes,
    )
