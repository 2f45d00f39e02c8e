"""A server component: what a killed server left half done is ended when the next one starts."""

from __future__ import annotations

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import RunStatus


class ServerStart(FLComponent):
    """Marks jobs as ended that no server runs any more.

    NVFlare 2.9 leaves the jobs of a server that was killed RUNNING for ever: they can
    neither be aborted nor deleted, and an operator sees a run that goes on. The run
    itself is not lost: its supervisor submits the next segment.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        # before SYSTEM_START, with which the new server begins to run jobs
        if event_type == EventType.SYSTEM_BOOTSTRAP:
            jobs = fl_ctx.get_engine().get_component(SystemComponents.JOB_MANAGER)
            for job in jobs.get_jobs_by_status([RunStatus.RUNNING, RunStatus.DISPATCHED], fl_ctx):
                jobs.set_status(job.job_id, RunStatus.FINISHED_EXECUTION_EXCEPTION, fl_ctx)
                self.log_warning(fl_ctx, f"job {job.job_id} ended with the server that ran it")
