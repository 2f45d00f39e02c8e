"""`mediswarm train`: local training at one site."""

from __future__ import annotations

import json as json_module

import typer

from mediswarm.cli.arguments import (
    DataOption,
    DeviceOption,
    JobArgument,
    JsonOption,
    OutOption,
    ScratchOption,
    SiteOption,
    data_directory,
    device_named,
    job_named,
    run_directory,
    scratch_directory,
)
from mediswarm.cli.run_view import RunView, show_record


def train(
    job: JobArgument,
    site: SiteOption,
    data: DataOption = None,
    out: OutOption = None,
    scratch: ScratchOption = None,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
) -> None:
    """Train a job on one site's data alone: as many rounds of the same work as in the federation."""
    from mediswarm.aggregation.reference import ReferenceRun, local_variant
    from mediswarm.flare.site_settings import weights_store
    from mediswarm.pipelines.base import Site
    from mediswarm.pipelines.find import load_pipeline

    spec = local_variant(job_named(job))
    data_dir = data_directory(data, load_pipeline(spec))
    where = Site(site, data_dir, scratch_directory(scratch, data_dir), device_named(device))
    folder = run_directory(out, spec, data_dir)
    with RunView(f"{spec.name} at {site}", spec.workflow.rounds, spec.selection.metric) as view:
        record = ReferenceRun(spec, [where], folder, folder.name, view.event, weights_store()).run()
    if json:
        typer.echo(json_module.dumps(record))
    else:
        show_record(record, folder)
