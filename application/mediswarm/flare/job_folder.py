"""Where a MediSwarm job and its run lie in an NVFlare workspace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from nvflare.apis.fl_context import FLContext

from mediswarm.errors import JobError
from mediswarm.flare.node_state import RUNS
from mediswarm.spec import Job, load_job

CONFIG, CUSTOM = "config", "custom"
EXPORTED = ("run.json", "contributions.csv", "events.jsonl", "last", "best")


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


def run_folder(fl_ctx: FLContext, run_id: str) -> Path:
    """This participant's own directory of the run, which outlives the NVFlare job."""
    return run_in_workspace(Path(fl_ctx.get_workspace().get_root_dir()), run_id)


def run_in_workspace(workspace: Path, run_id: str) -> Path:
    """Where a participant with this workspace keeps a run."""
    return workspace / RUNS / run_id


def export_run(folder: Path, fl_ctx: FLContext) -> None:
    """Put record and models into NVFlare's own directory of the job, which the operator downloads.

    Files are linked where the file system can, so that a model is not written twice.
    """
    job_folder = Path(fl_ctx.get_workspace().get_run_dir(fl_ctx.get_job_id())) / "mediswarm"
    for name in EXPORTED:
        for file in [folder / name] if (folder / name).is_file() else sorted((folder / name).glob("[!.]*")):
            target = job_folder / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                os.link(file, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(file, target)
