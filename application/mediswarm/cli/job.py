"""`mediswarm job`: validate, show, list, test and write jobs."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

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
from mediswarm.spec import Job, load_job
from mediswarm.spec.catalogue import job_folders
from mediswarm.spec.skeleton import write_skeleton

app = typer.Typer(help="Validate, show, list, test and write jobs.", no_args_is_help=True)


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
    """List the jobs that come with MediSwarm, with their models' parameters and memory of weights."""
    from mediswarm.pipelines.find import load_pipeline
    from mediswarm.training.footprint import model_size

    jobs = [(job, model_size(load_pipeline(job))) for job in map(load_job, job_folders())]
    if json:
        rows = [
            {
                "name": job.name,
                "pipeline": job.pipeline,
                "workflow": job.workflow.name,
                "description": job.description,
                "parameters": None if size is None else size.parameters,
                "weight_bytes": None if size is None else size.bytes,
            }
            for job, size in jobs
        ]
        typer.echo(json_module.dumps(rows))
        return
    table = Table()
    for column in ("job", "pipeline", "workflow", "rounds", "parameters", "weights", "question"):
        right = column in {"rounds", "parameters", "weights"}
        table.add_column(column, no_wrap=right or column == "job", justify="right" if right else "left")
    for job, size in jobs:
        sizes = ("n/a", "n/a") if size is None else (f"{size.parameters:,}", f"{size.bytes / 2**20:.1f} MiB")
        table.add_row(
            job.name, job.pipeline, job.workflow.name, str(job.workflow.rounds), *sizes, job.description
        )
    Console().print(table)


@app.command()
def estimate(job: JobArgument, device: DeviceOption = "cpu", json: JsonOption = False) -> None:
    """Measure one training step of a job on this machine, on random inputs: seconds per case, peak memory."""
    from mediswarm.pipelines.find import load_pipeline
    from mediswarm.training.footprint import estimate_step, model_size

    spec = job_named(job)
    pipeline = load_pipeline(spec)
    found = estimate_step(spec, pipeline, device_named(device))
    size = model_size(pipeline)
    if json:
        typer.echo(
            json_module.dumps({"name": spec.name, "model": size and asdict(size), "step": asdict(found)})
        )
        return
    parameters = f"{size.parameters:,} parameters\n" if size else ""
    typer.echo(
        f"{spec.name} on {found.device}, batches of {found.batch_size}\n{parameters}"
        f"{found.seconds_per_case:.3g} s per training case\n{found.peak_bytes / 2**30:.2f} GiB at most"
    )


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
