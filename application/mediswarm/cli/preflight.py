"""`mediswarm preflight`: is this site ready to take part?"""

from __future__ import annotations

from typing import Annotated

import typer

from mediswarm.cli.arguments import JsonOption, device_named, job_named
from mediswarm.cli.node import DataDirOption, DeviceOption, KitOption, NodeScratchOption


def preflight(
    kit: KitOption,
    scratch: NodeScratchOption,
    data: DataDirOption = None,
    job: Annotated[
        str | None,
        typer.Option("--job", metavar="JOB", help="Also check the data for this job, and train one epoch."),
    ] = None,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
) -> None:
    """Check host, startup kit, network, data and one epoch of training; exit code 10 when anything failed."""
    from mediswarm.errors import HostError
    from mediswarm.preflight.board import show_board
    from mediswarm.preflight.site import check_site

    there = data.resolve() if data is not None and data.is_dir() else None
    spec = job_named(job) if job else None
    findings = check_site(kit, scratch, there, spec, device_named(device))
    raise typer.Exit(show_board(findings, title="preflight", as_json=json, failed=HostError.exit_code))
