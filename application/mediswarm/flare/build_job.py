"""A MediSwarm job as an NVFlare job."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml
from nvflare.job_config.api import FedJob

from mediswarm.flare.job_folder import CONFIG, CUSTOM
from mediswarm.flare.segment import Segment
from mediswarm.flare.server_rounds import ServerRounds
from mediswarm.flare.site_executor import SiteExecutor
from mediswarm.flare.swarm_controller import SwarmController
from mediswarm.flare.swarm_executor import SwarmExecutor
from mediswarm.spec import Job, Swarm, load_job

REQUEST_INTERVAL_S = 0.05
"""How often a site asks for its next task; NVFlare's default of 2 s dominates short rounds."""

_LOST = {"dead_client_grace_period": 15.0}
"""Seconds in which a site that was reported gone may still show a sign of life; sites beat every 10 s."""

_TRANSFER = {"tensor_download_chunk_size": 16 << 20}
"""Bytes of tensors that NVFlare asks for at once; with its 2 MiB a large model takes many small questions."""


def build_job(job: Job, target: Path, run_id: str, segment: Segment) -> Path:
    """Write the NVFlare job for a segment of a run of `job` below `target`.

    An installed pipeline's job consists of configuration alone: NVFlare sees no
    code in it, and sites that refuse job code run it. A pipeline file of the
    job's own goes under ``custom``, where sites that refuse job code refuse it.

    Returns:
        the NVFlare job's folder.
    """
    # NVFlare ends a job below min_clients without a word in the record: quorums are the controller's
    name = f"{run_id}-{segment.number}"
    fed = FedJob(name=name, min_clients=1)
    fed.set_app_packages(["mediswarm"])
    swarm = isinstance(job.workflow, Swarm)
    controller = SwarmController if swarm else ServerRounds
    fed.to_server(controller(job.name, run_id, segment.number, segment.rounds, list(segment.sites)))
    executor = SwarmExecutor if swarm else SiteExecutor
    settings = _TRANSFER | _patience(job.workflow.round_budget)
    fed.to_server({"server": {"task_request_interval": REQUEST_INTERVAL_S}} | settings | _LOST)
    fed.to_clients(executor(job.name, run_id))
    fed.to_clients(settings)
    fed.export_job(str(target))
    folder = target / name
    _deploy_to(folder / "meta.json", segment.sites)
    place = CUSTOM if job.ships_code else CONFIG
    for app in sorted(path.parent for path in folder.glob("*/config")):
        _copy(job, app / place / job.name)
    return folder


def _patience(budget: float) -> dict[str, float]:
    """NVFlare's timeouts for transfers, from the round budget: a slow link is no failure before it ends."""
    return {
        "get_task_timeout": budget,
        "submit_task_result_timeout": budget,
        "tensor_min_download_timeout": budget,
        "streaming_per_request_timeout": budget,
    }


def _deploy_to(meta: Path, sites: tuple[str, ...]) -> None:
    """Name the segment's sites; FedJob says all that are connected."""
    document = json.loads(meta.read_text(encoding="utf-8"))
    document["deploy_map"] = {app: ["server", *sites] for app in document["deploy_map"]}
    meta.write_text(json.dumps(document, indent=2), encoding="utf-8")


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
