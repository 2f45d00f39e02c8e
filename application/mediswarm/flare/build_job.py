"""A MediSwarm job as an NVFlare job."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from nvflare.job_config.api import FedJob

from mediswarm.flare.job_folder import CONFIG, CUSTOM
from mediswarm.flare.server_rounds import ServerRounds
from mediswarm.flare.site_executor import SiteExecutor
from mediswarm.flare.swarm_controller import SwarmController
from mediswarm.flare.swarm_executor import SwarmExecutor
from mediswarm.spec import Job, Swarm, load_job
from mediswarm.spec.workflow import required

REQUEST_INTERVAL_S = 0.05
"""How often a site asks for its next task; NVFlare's default of 2 s dominates short rounds."""

_TRANSFER = {"tensor_download_chunk_size": 8 << 20}
"""Bytes of tensors that NVFlare asks for at once; with its 2 MiB a large model takes many small questions."""

ALLOWED_CLASSES = ["mediswarm.flare."]
"""What `class_allow_list` must hold at sites and server; these classes take a job's name, no code."""


def build_job(job: Job, target: Path, sites: int, run_id: str) -> Path:
    """Write the NVFlare job for `job` below `target`.

    An installed pipeline's job consists of configuration alone: NVFlare sees no
    code in it, and sites that refuse job code run it. A pipeline file of the
    job's own goes under ``custom``, where sites that refuse job code refuse it.

    Returns:
        the NVFlare job's folder.
    """
    fed = FedJob(name=job.name, min_clients=min(required(job.workflow.start_quorum, sites), sites))
    fed.set_app_packages(["mediswarm"])
    swarm = isinstance(job.workflow, Swarm)
    fed.to_server(SwarmController(job.name, run_id) if swarm else ServerRounds(job.name, run_id))
    fed.to_server({"server": {"task_request_interval": REQUEST_INTERVAL_S}} | _TRANSFER)
    fed.to_clients(SwarmExecutor(job.name) if swarm else SiteExecutor(job.name))
    fed.to_clients(_TRANSFER)
    fed.export_job(str(target))
    folder = target / job.name
    place = CUSTOM if job.ships_code else CONFIG
    for app in sorted(path.parent for path in folder.glob("*/config")):
        _copy(job, app / place / job.name)
    return folder


def _copy(job: Job, to: Path) -> None:
    to.mkdir(parents=True)
    _write_document(job, to / "job.yml")
    for name in job.shipped_files:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(job.folder / name, to / name)


def _write_document(job: Job, file: Path) -> None:
    """The author's own text where it says the same as `job`; the document of a varied job otherwise."""
    written = job.folder / "job.yml"
    if written.is_file() and load_job(written).hash == job.hash:
        shutil.copyfile(written, file)
    else:
        file.write_text(yaml.safe_dump(job.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
