"""`mediswarm job`: validate, show, list, test and write jobs."""

from __future__ import annotations

import json as json_module
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from mediswarm.cli.arguments import (
    DataOption,
    DeviceOption,
    JobArgument,
    JsonOption,
    data_directory,
    device_named,
    job_named,
    sites_of,
)
from mediswarm.errors import MediSwarmError, UsageError
from mediswarm.spec import Job, load_job
from mediswarm.spec.catalogue import job_folders
from mediswarm.spec.skeleton import write_skeleton
from mediswarm.training.kept_figures import KeptFigures, ModelSize, StepEstimate

app = typer.Typer(help="Validate, show, list, test and write jobs.", no_args_is_help=True)


def kept_figures() -> KeptFigures:
    """What this account's cache holds."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return KeptFigures(Path(cache) / "mediswarm" / "figures")


@app.command()
def validate(job: JobArgument, json: JsonOption = False) -> None:
    """Check a job and its pipeline's config; the first error names key, line and repair."""
    from mediswarm.pipelines.find import load_pipeline

    spec = job_named(job)
    load_pipeline(spec)
    if json:
        typer.echo(json_module.dumps({"name": spec.name, "hash": spec.hash, "valid": True}))
    else:
        typer.echo(f"{spec.name} is valid\nhash {spec.hash}")


@app.command()
def show(
    job: JobArgument,
    tensors: Annotated[
        bool,
        typer.Option("--tensors", help="List the model's tensors instead: which are federated, which stay."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Print a job with every default filled in, its hash, contract, metrics, and what is exchanged."""
    from mediswarm.pipelines.find import load_pipeline

    spec = job_named(job)
    pipeline = load_pipeline(spec)
    if tensors:
        from mediswarm.cli.tensor_view import show_tensors
        from mediswarm.training.tensor_list import list_tensors

        show_tensors(list_tensors(spec, pipeline), as_json=json)
        return
    document = spec.model_dump(mode="json")
    document["config"] = pipeline.config.model_dump(mode="json")
    about = {
        "hash": spec.hash,
        "ships_code": spec.ships_code,
        "contract": pipeline.contract(),
        "metrics": list(pipeline.reported),
        "stays_local": [*spec.exchange.exclude, *pipeline.local_parameters],
    }
    if json:
        typer.echo(json_module.dumps({"job": document, "about": about}))
    else:
        typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True) + "\n# derived")
        typer.echo(yaml.safe_dump(about, sort_keys=False, allow_unicode=True))


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the jobs that come with MediSwarm: their models' sizes, and what was measured of them here."""
    from mediswarm.cli.job_view import show_jobs, watched

    kept = kept_figures()
    found = (
        (job, kept.size(job, partial(_size, job)), kept.steps(job))
        for job in watched([load_job(folder) for folder in job_folders()], "counting")
    )
    if not json:
        show_jobs(list(found))
        return
    rows = [
        {
            "name": job.name,
            "pipeline": job.pipeline,
            "workflow": job.workflow.name,
            "rounds": job.workflow.rounds,
            "description": job.description,
            "parameters": None if size is None else size.parameters,
            "weight_bytes": None if size is None else size.bytes,
            "steps": [asdict(step) for step in steps],
        }
        for job, size, steps in found
    ]
    typer.echo(json_module.dumps(rows))


@app.command()
def estimate(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB]", help="A job's name (see `mediswarm job list`), its folder or its job.yml."
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Each job that comes with MediSwarm, one after the other.")
    ] = False,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
) -> None:
    """Measure one training step of a job on this machine, on random inputs: seconds per case, peak memory.

    The figures are kept for `mediswarm job list`. With --all, a job that cannot be measured is shown with
    the reason.
    """
    from mediswarm.cli.job_view import show_estimate, watched
    from mediswarm.training.footprint import measure_step

    if (job is None) is not every:
        raise UsageError("MS-U004", "one job is measured, or --all", repair="Name a job, or pass --all.")
    jobs = [job_named(job)] if job is not None else [load_job(folder) for folder in job_folders()]
    device_named(device)
    kept, rows = kept_figures(), []
    for spec in watched(jobs, "measuring"):
        size = kept.size(spec, partial(_size, spec))
        step: StepEstimate | MediSwarmError
        try:
            step = measure_step(spec, device)
        except MediSwarmError as error:
            if not every:
                raise
            step = error
        else:
            _keep(kept, spec, step)
        if not json:
            show_estimate(spec, size, step)
        said: dict[str, Any] = {"name": spec.name, "model": size and asdict(size)}
        if isinstance(step, MediSwarmError):
            said["error"] = step.as_dict()
        else:
            said["step"] = asdict(step)
        rows.append(said)
    if json:
        typer.echo(json_module.dumps(rows if every else rows[0]))


def _keep(kept: KeptFigures, job: Job, step: StepEstimate) -> None:
    try:
        kept.keep_step(job, step)
    except OSError as error:
        typer.echo(f"the figures are not kept for `mediswarm job list`: {error}", err=True)


def _size(job: Job) -> ModelSize | None:
    from mediswarm.pipelines.find import load_pipeline
    from mediswarm.training.footprint import model_size

    return model_size(load_pipeline(job))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The job's name, which is its folder's too.")],
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Where to make the folder.")] = Path(),
) -> None:
    """Write a working skeleton: job.yml, pipeline.py and README.md."""
    folder = write_skeleton(name, into)
    typer.echo(f"wrote {folder}\nnext: mediswarm job test {folder}")


@app.command("test")
def contract_test(
    job: JobArgument,
    data: DataOption = None,
    site: Annotated[
        str | None,
        typer.Option("--site", metavar="NAME", help="Site to read (default: the first in the data)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run the contract test: does this pipeline keep every rule of the interface?"""
    from mediswarm.pipelines.find import load_pipeline
    from mediswarm.preflight.board import show_board
    from mediswarm.preflight.pipeline_contract import check_pipeline, exit_code_of

    spec = job_named(job)
    pipeline = load_pipeline(spec)
    data_dir = data_directory(data, pipeline)
    (name, *_) = sites_of(pipeline, data_dir, site)
    findings = check_pipeline(spec, data_dir, name)
    raise typer.Exit(
        show_board(findings, title=f"contract test of {job}", as_json=json, failed=exit_code_of(findings))
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of job.yml, for editors."""
    document = Job.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "MediSwarm job"
    typer.echo(json_module.dumps(document, indent=2))
