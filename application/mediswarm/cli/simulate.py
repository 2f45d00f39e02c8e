"""`mediswarm simulate`: a whole federation on this machine."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from mediswarm.cli.arguments import (
    DataOption,
    DeviceOption,
    JobArgument,
    JsonOption,
    OutOption,
    data_directory,
    device_named,
    job_named,
    run_directory,
    sites_of,
)
from mediswarm.cli.run_view import RunView, counted, show_record


def simulate(
    job: JobArgument,
    data: DataOption = None,
    sites: Annotated[
        str | None,
        typer.Option("--sites", metavar="A,B,C", help="Sites that take part (default: all in the data)."),
    ] = None,
    out: OutOption = None,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
) -> None:
    """Run a job on NVFlare's simulator, one process for each site."""
    from mediswarm.flare.simulator import simulate as run
    from mediswarm.pipelines.find import load_pipeline

    spec = job_named(job)
    device_named(device)
    pipeline = load_pipeline(spec)
    data_dir = data_directory(data, pipeline)
    names = sites_of(pipeline, data_dir, sites)
    folder = run_directory(out, spec, data_dir)
    with RunView(
        f"{spec.name}, {counted(len(names), 'site')}", spec.workflow.rounds, spec.selection.metric
    ) as view:
        record = run(spec, names, folder, data_dir, device, watch=view.event)
    if json:
        typer.echo(json_module.dumps(record))
    else:
        show_record(record, folder)
