"""`mediswarm check`: a site's data against a job's pipeline."""

from __future__ import annotations

from typing import Annotated

import typer

from mediswarm.cli.arguments import (
    DataOption,
    DeviceOption,
    JobArgument,
    JsonOption,
    ScratchOption,
    SiteOption,
    data_directory,
    device_named,
    job_named,
    scratch_directory,
)


def check(
    job: JobArgument,
    site: SiteOption,
    data: DataOption = None,
    scratch: ScratchOption = None,
    device: DeviceOption = "cpu",
    show_cases: Annotated[
        bool, typer.Option("--show-cases", help="List the ids concerned; for eyes at the site only.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check a site's data: PASS, WARN, FAIL; exit code 4 when anything failed."""
    from mediswarm.pipelines.base import Site
    from mediswarm.pipelines.find import load_pipeline
    from mediswarm.preflight.board import show_board
    from mediswarm.preflight.data import check_data

    pipeline = load_pipeline(job_named(job))
    data_dir = data_directory(data, pipeline)
    where = Site(site, data_dir, scratch_directory(scratch, data_dir), device_named(device))
    findings = check_data(pipeline, where)
    raise typer.Exit(show_board(findings, title=f"{job} at {site}", as_json=json, show_cases=show_cases))
