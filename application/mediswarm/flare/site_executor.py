"""A site's end of a run in NVFlare: tasks in, contributions out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import replace

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from mediswarm.errors import MediSwarmError, RunFailed, code_of
from mediswarm.flare.consent import require_accepted
from mediswarm.flare.garbage import set_aside
from mediswarm.flare.job_folder import deployed_job, run_folder
from mediswarm.flare.messages import (
    CONTRIBUTE,
    INTRODUCE,
    JUDGE,
    MEASURE,
    pack,
    pack_error,
    prepare_tensors,
    unpack,
)
from mediswarm.flare.site_settings import image_that_runs, site_from_environment
from mediswarm.pipelines.find import load_pipeline
from mediswarm.training.crossing import Introduction, JudgeOrder, MeasureOrder, Order
from mediswarm.training.site_run import SiteRun

log = logging.getLogger(__name__)

_UNTIL_TRAINED = 3
"""Tasks: the introduction, the first round, and the one that finds in memory all that training imports."""


class SiteExecutor(Executor):
    """Runs the site's part of one job in NVFlare's job process.

    Args:
        job: the name of the MediSwarm job in the deployed app.
        run_id: the run that this NVFlare job belongs to.

    The executor trains in the thread that NVFlare calls it in; heartbeats have
    threads of their own, so that a site that trains for hours stays alive for
    the server. An exception is answered with its stable code; its text and
    traceback stay in the site's log.
    """

    def __init__(self, job: str, run_id: str) -> None:
        super().__init__()
        self.job, self.run_id = job, run_id
        self._run: SiteRun | None = None
        self._abort: Signal | None = None
        self._tasks = 0

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.START_RUN:
            prepare_tensors()
            set_aside()
        elif event_type == EventType.END_RUN and self._run is not None:
            self._run.close()

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        self._abort = abort_signal
        self._tasks += 1
        # what the last answer left in NVFlare's streams goes before memory is needed for training
        if self._tasks <= _UNTIL_TRAINED:
            set_aside()
        else:
            gc.collect()
        answers: dict[str, Callable[[SiteRun, Shareable], Shareable]] = self.answers(fl_ctx)
        try:
            return answers[task_name](self._site_run(fl_ctx), shareable)
        except Exception as error:
            if isinstance(error, MediSwarmError):
                log.error("task %s failed: %s", task_name, error.describe())  # noqa: TRY400 - named
            else:
                log.exception("task %s failed", task_name)
            return pack_error("MS-R007" if abort_signal.triggered else code_of(error))

    def answers(self, fl_ctx: FLContext) -> dict[str, Callable[[SiteRun, Shareable], Shareable]]:
        """What answers each task; a workflow with further tasks adds to it."""
        return {
            INTRODUCE: self._introduce,
            MEASURE: _measure,
            CONTRIBUTE: self._contribute,
            JUDGE: _judge,
        }

    def introduction(self, run: SiteRun) -> Introduction:
        """What this site says before its first round of a segment."""
        return replace(run.introduce(), image=image_that_runs())

    def _introduce(self, run: SiteRun, _: Shareable) -> Shareable:
        return pack(self.introduction(run))

    def _contribute(self, run: SiteRun, message: Shareable) -> Shareable:
        contribution = run.contribute(unpack(Order, message))
        if self._stopped():
            raise RunFailed("MS-R007", "the run was stopped while this site trained")
        return pack(contribution)

    def _site_run(self, fl_ctx: FLContext) -> SiteRun:
        if self._run is None:
            job = deployed_job(fl_ctx, self.job)
            site = site_from_environment(fl_ctx.get_identity_name())
            require_accepted(job, fl_ctx.get_identity_name())
            folder = run_folder(fl_ctx, self.run_id)
            self._run = SiteRun(job, load_pipeline(job), site, folder, self._stopped)
        return self._run

    def _stopped(self) -> bool:
        return self._abort is not None and bool(self._abort.triggered)


def _measure(run: SiteRun, message: Shareable) -> Shareable:
    return pack(run.measure(unpack(MeasureOrder, message)))


def _judge(run: SiteRun, message: Shareable) -> Shareable:
    order = unpack(JudgeOrder, message)
    return pack(run.judge(order.weights, order.totals, order.keep_predictions))
