"""Is this site ready to take part? Everything, on one board."""

from __future__ import annotations

from pathlib import Path

from mediswarm.data.findings import Finding
from mediswarm.errors import MediSwarmError
from mediswarm.pipelines.base import Site
from mediswarm.pipelines.find import load_pipeline
from mediswarm.preflight.certificate import check_kit
from mediswarm.preflight.data import check_data
from mediswarm.preflight.engine import check_engine
from mediswarm.preflight.host import check_host
from mediswarm.preflight.network import check_network
from mediswarm.preflight.one_epoch import check_one_epoch
from mediswarm.spec import Job

_NAME_A_JOB = "Add --job JOB: its pipeline reads the data, and trains one epoch on them."


def check_site(
    kit_folder: Path, scratch: Path, data_dir: Path | None, job: Job | None, device: str
) -> list[Finding]:
    """Host, startup kit, network, and with a job its data and one epoch of training.

    Args:
        kit_folder: the site's startup kit; with the server's, the way to the server is left out.
        scratch: the site's scratch directory.
        data_dir: the site's data, which is only read.
        job: what would be trained; without one, data and training are left out.
        device: where it would be trained.
    """
    kit, about_kit = check_kit(kit_folder)
    findings = [*check_engine(), *check_host(scratch), *about_kit]
    if kit is None:
        return findings
    if kit.role != "server":
        findings += check_network(kit_folder, kit)
    if job is None:
        if kit.role == "site":
            findings.append(Finding("WARN", "data", "not checked, for no job was named", repair=_NAME_A_JOB))
        return findings
    site = Site(kit.name, data_dir, scratch, device)
    try:
        about_data = check_data(load_pipeline(job), Site(kit.name, data_dir, None, device))
    except MediSwarmError as error:
        return [*findings, Finding.of(error, "job")]
    findings += about_data
    if not any(finding.status == "FAIL" for finding in about_data):
        findings.append(check_one_epoch(job, site))
    return findings
