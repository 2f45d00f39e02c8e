"""A site's end of a swarm run: models and updates go from site to site."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from mediswarm.aggregation.fedavg import FedAvgStrategy
from mediswarm.errors import RunCrashed, RunFailed, RunTimedOut
from mediswarm.flare.garbage import collect_often
from mediswarm.flare.job_folder import run_folder
from mediswarm.flare.messages import (
    AGGREGATE,
    CONTRIBUTE,
    JUDGE,
    MEASURE,
    at_hand,
    error_in,
    pack,
    receive_on_disk,
    unpack,
)
from mediswarm.flare.site_executor import SiteExecutor
from mediswarm.flare.swarm_messages import (
    MODEL_TOPIC,
    UPDATE_TOPIC,
    Aggregated,
    AggregateOrder,
    ModelReply,
    ModelRequest,
    SwarmOrder,
    SwarmReport,
    UpdateReply,
)
from mediswarm.flare.swarm_updates import PendingUpdates
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Swarm
from mediswarm.training.artefact import describe_artefact, repair_artefact
from mediswarm.training.crossing import Contribution, Introduction, MeasureOrder, Order
from mediswarm.training.model_store import ModelStore
from mediswarm.training.precision import narrow, widen
from mediswarm.training.shared_weights import digest_of
from mediswarm.training.site_run import SiteRun, initial_weights, shared_of

log = logging.getLogger(__name__)
T = TypeVar("T")

_RETRY_S = 0.05


class SwarmExecutor(SiteExecutor):
    """As :class:`SiteExecutor`, for runs whose weights the server never sees.

    A site takes model r from the peer that holds it, trains, and sends its
    update to the round's aggregator. Every site keeps `last` and `best` in its
    own run directory.
    """

    def __init__(self, job: str, run_id: str) -> None:
        super().__init__(job, run_id)
        self._number = -1
        self._weights: Weights = {}
        self._trainable: set[str] = set()
        self._store: ModelStore | None = None
        self._pending: PendingUpdates | None = None
        self._lock = threading.Lock()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.START_RUN:
            collect_often()
            engine = fl_ctx.get_engine()
            engine.register_aux_message_handler(MODEL_TOPIC, self._give_model)
            engine.register_aux_message_handler(UPDATE_TOPIC, self._take_update)
            receive_on_disk(fl_ctx, run_folder(fl_ctx, self.run_id) / "incoming")
        elif event_type == EventType.END_RUN and self._store is not None:
            self._store.wait()

    def introduction(self, run: SiteRun) -> Introduction:
        """As every site's, with the numbers of the models of this run that it has on disk."""
        held = {}
        for which in ("last", "best"):
            if (run.run_dir / which).is_dir():
                repair_artefact(run.run_dir / which)
                held[which] = describe_artefact(run.run_dir / which).round
        return replace(super().introduction(run), held=held)

    def answers(self, fl_ctx: FLContext) -> dict[str, Callable[[SiteRun, Shareable], Shareable]]:
        return super().answers(fl_ctx) | {
            MEASURE: lambda run, message: self._measure(run, unpack(SwarmOrder, message), fl_ctx),
            CONTRIBUTE: lambda run, message: self._train(run, unpack(SwarmOrder, message), fl_ctx),
            AGGREGATE: lambda run, message: self._aggregate(run, unpack(AggregateOrder, message)),
            JUDGE: lambda run, message: self._judge_model(run, unpack(SwarmOrder, message), fl_ctx),
        }

    # -- tasks of the server --------------------------------------------------------------------

    def _measure(self, run: SiteRun, order: SwarmOrder, fl_ctx: FLContext) -> Shareable:
        self._take_model(run, order, fl_ctx)
        shown = narrow(self._weights, run.job.exchange.precision)
        return pack(run.measure(MeasureOrder(order.model, shown, order.totals)))

    def _train(self, run: SiteRun, order: SwarmOrder, fl_ctx: FLContext) -> Shareable:
        if not order.round_totals:
            self._take_model(run, order, fl_ctx)
        if order.aggregator == run.site.name:
            with self._lock:
                strategy = FedAvgStrategy(self._weights, self._trainable, self._workflow(run).weights)
                folder = run.run_dir / "updates" / str(order.model)
                self._pending = PendingUpdates(order.model, strategy, folder)
        shown = narrow(self._weights, run.job.exchange.precision)
        contribution = run.contribute(
            Order(
                order.model,
                None if order.round_totals else shown,
                order.totals,
                round_totals=order.round_totals,
            )
        )
        if self._stopped():
            raise RunFailed("MS-R007", "the run was stopped while this site trained")
        report = SwarmReport(
            round=order.model,
            cases=contribution.cases,
            steps=contribution.steps,
            loss=contribution.loss,
            weight=self._send_update(run, order.aggregator, contribution, fl_ctx),
            received=digest_of(shown),
            metrics=contribution.metrics,
            seconds=contribution.seconds,
            received_bytes=0 if order.holder == run.site.name else contribution.received_bytes,
            sent_bytes=0 if order.aggregator == run.site.name else contribution.sent_bytes,
        )
        return pack(report)

    def _aggregate(self, run: SiteRun, order: AggregateOrder) -> Shareable:
        with self._lock:
            pending = self._pending
            if pending is None or pending.round != order.round:
                raise RunCrashed("MS-R006", f"this site did not collect the updates of round {order.round}")
            self._weights, changed = pending.commit(order.sites)
            self._number, self._pending = order.round + 1, None
        store = self._models(run)
        if order.promote is not None:
            store.promote(order.promote)
        # on disk before the server counts the round: no other site has this model yet
        store.save_last(self._weights, self._number)
        store.wait()
        return pack(Aggregated(changed, digest_of(self._weights)))

    def _judge_model(self, run: SiteRun, order: SwarmOrder, fl_ctx: FLContext) -> Shareable:
        if not order.keep_predictions:
            self._take_model(run, order, fl_ctx)
            weights = self._weights
        else:
            store = self._open(run, order.totals)
            if order.promote is not None:
                store.promote(order.promote)
            weights = self._weights if order.model == self._number else self._best(run, order, fl_ctx)
        self._models(run).wait()
        shown = narrow(weights, run.job.exchange.precision)
        return pack(run.judge(shown, order.totals, order.keep_predictions))

    # -- models -----------------------------------------------------------------------------------

    def _open(self, run: SiteRun, totals: Counts) -> ModelStore:
        """The site's models; it holds the initial one, or the last that an earlier segment left on disk."""
        if self._store is None:
            initial, self._trainable, kind = initial_weights(run.job, run.pipeline, totals)
            self._store = store = ModelStore(run.run_dir, run.job, run.pipeline, initial, kind)
            shared, number = shared_of(run.job, run.pipeline, initial), 0
            if (run.run_dir / "last").is_dir():
                number, last = store.find("last").round, store.load("last")
                shared = {name: last[name] for name in shared}
            with self._lock:
                self._weights, self._number = shared, number
        return self._store

    def _models(self, run: SiteRun) -> ModelStore:
        if self._store is None:
            raise RunCrashed("MS-R006", f"site {run.site.name} was asked for a model before it had one")
        return self._store

    def _take_model(self, run: SiteRun, order: SwarmOrder, fl_ctx: FLContext) -> None:
        """Hold model `order.model`, from its holder if it is another site, and write it as `last`."""
        store = self._open(run, order.totals)
        before = store.find("last").round if (run.run_dir / "last").is_dir() else None
        # the aggregator, whose `last` is the next model already, did so when it made that
        if order.promote is not None and before == order.model - 1:
            store.promote(order.promote)
        if order.holder != run.site.name:
            ask = pack(ModelRequest(order.model, master=order.aggregator == run.site.name))
            reply = self._request(run, order.holder, MODEL_TOPIC, ask, ModelReply, "weights", fl_ctx)
            with self._lock:
                self._weights, self._number = widen(at_hand(reply.weights)), order.model
        if self._number != order.model:
            raise RunCrashed(
                "MS-R006", f"this site was to hold model {order.model}, and holds {self._number}"
            )
        if order.holder != run.site.name or order.model == 0:
            store.save_last(self._weights, self._number)

    def _best(self, run: SiteRun, order: SwarmOrder, fl_ctx: FLContext) -> Weights:
        """The best model, from the peer that has it if this site was away when it was the newest."""
        store = self._models(run)
        if not (run.run_dir / "best").is_dir() or store.find("best").round != order.model:
            ask = pack(ModelRequest(order.model, master=True))
            reply = self._request(run, order.holder, MODEL_TOPIC, ask, ModelReply, "weights", fl_ctx)
            store.take_best(dict(at_hand(reply.weights)), order.model, reply.value)
        best = store.load("best")
        return {name: best[name] for name in self._weights}

    # -- between sites ----------------------------------------------------------------------------

    def _send_update(
        self, run: SiteRun, aggregator: str, contribution: Contribution, fl_ctx: FLContext
    ) -> float:
        if aggregator == run.site.name:
            return self._collect(run.site.name, contribution) or 0.0
        ask = pack(contribution)
        reply = self._request(run, aggregator, UPDATE_TOPIC, ask, UpdateReply, "weight", fl_ctx)
        return reply.weight or 0.0

    def _request(
        self,
        run: SiteRun,
        peer: str,
        topic: str,
        message: Shareable,
        kind: type[T],
        needed: str,
        fl_ctx: FLContext,
    ) -> T:
        """Ask a peer until it is ready or the round budget ends, encrypted from site to site."""
        budget = run.job.workflow.round_budget
        end = time.monotonic() + budget
        secure = bool(fl_ctx.get_prop(FLContextKey.SECURE_MODE, True))
        while time.monotonic() < end and not self._stopped():
            replies = fl_ctx.get_engine().send_aux_request(
                targets=[peer], topic=topic, request=message, timeout=budget, fl_ctx=fl_ctx, secure=secure
            )
            reply = replies.get(peer)
            if reply is not None and error_in(reply) is None:
                answer = unpack(kind, reply)
                if getattr(answer, needed) is not None:
                    return answer
            time.sleep(_RETRY_S)
        raise RunTimedOut("MS-R005", f"peer {peer} did not answer {topic} within the round budget")

    def _give_model(self, topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:
        asked = unpack(ModelRequest, request)
        with self._lock:
            weights, number, store, run = self._weights, self._number, self._store, self._run
        if store is None or run is None:
            return pack(ModelReply(None))
        if asked.model == number:
            return pack(ModelReply(weights if asked.master else narrow(weights, run.job.exchange.precision)))
        if (run.run_dir / "best").is_dir() and (kept := store.find("best")).round == asked.model:
            best = store.load("best")
            return pack(ModelReply({name: best[name] for name in weights}, kept.value))
        return pack(ModelReply(None))

    def _take_update(self, topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:
        peer = fl_ctx.get_peer_context().get_identity_name()
        return pack(UpdateReply(self._collect(peer, unpack(Contribution, request))))

    def _collect(self, site: str, contribution: Contribution) -> float | None:
        with self._lock:
            if self._pending is None or self._pending.round != contribution.round:
                return None
            update = widen(at_hand(contribution.update))
            return self._pending.take(site, replace(contribution, update=update))

    @staticmethod
    def _workflow(run: SiteRun) -> Swarm:
        workflow: Any = run.job.workflow
        if not isinstance(workflow, Swarm):
            raise RunCrashed("MS-R008", "the swarm executor was deployed for another workflow")
        return workflow
