"""Where a MediSwarm job lies inside a deployed NVFlare app, and reading it from there."""

from __future__ import annotations

from pathlib import Path

from nvflare.apis.fl_context import FLContext

from mediswarm.errors import JobError
from mediswarm.spec import Job, load_job

CONFIG, CUSTOM = "config", "custom"


def deployed_job(fl_ctx: FLContext, name: str) -> Job:
    """The job that came with the app this component runs in.

    A job without code lies under the app's ``config``, a job with a pipeline
    file of its own under ``custom``, where NVFlare's policy on job code (BYOC)
    sees it. A pipeline file under ``config`` would pass that policy unseen.

    Raises:
        JobError: MS-J012 for code outside ``custom``; as :func:`load_job` otherwise.
    """
    app = Path(fl_ctx.get_workspace().get_app_dir(fl_ctx.get_job_id()))
    with_code = app / CUSTOM / name
    job = load_job(with_code if with_code.is_dir() else app / CONFIG / name)
    if job.ships_code and not with_code.is_dir():
        raise JobError(
            "MS-J012", f"job {name} brings code past the site's policy on job code", file=job.folder
        )
    return job


def run_folder(fl_ctx: FLContext) -> Path:
    """This participant's own directory of the run."""
    return Path(fl_ctx.get_workspace().get_run_dir(fl_ctx.get_job_id())) / "mediswarm"
