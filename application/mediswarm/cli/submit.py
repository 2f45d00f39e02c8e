"""`mediswarm submit`: a job becomes a run."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from mediswarm.cli.arguments import JobArgument, JsonOption, job_named
from mediswarm.cli.operator import (
    KitOption,
    StateOption,
    admin_kit,
    follow,
    operator_files,
    raise_its_error,
    run_as_dict,
    session_with,
)
from mediswarm.cli.run_view import show_record


def submit(
    job: JobArgument,
    sites: Annotated[
        str | None,
        typer.Option("--sites", metavar="A,B,C", help="Sites that take part (default: the federation's)."),
    ] = None,
    kit: KitOption = None,
    state: StateOption = None,
    watch: Annotated[
        bool, typer.Option("--follow", help="Show the run until it ends; the exit code is the run's.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Start a run on a federation; a supervisor takes it to its end, also after you log out."""
    from mediswarm.flare.run_state import RunState
    from mediswarm.flare.submission import admit_run, named_sites
    from mediswarm.flare.supervisor_process import ensure_supervisor
    from mediswarm.pipelines.find import load_pipeline

    spec, files = job_named(job), operator_files(state)
    load_pipeline(spec)
    with session_with(kit, files) as session, RunState(files.database) as runs:
        run, warning = admit_run(spec, named_sites(sites, session), admin_kit(kit), session, files, runs)
    if warning:
        typer.echo(f"warning: {warning}", err=True)
    ensure_supervisor(files)
    with RunState(files.database) as runs:
        typer.echo(f"submitted: {run.id}", err=True)
        if watch:
            run = follow(files, runs, run)
            raise_its_error(run)
            record = files.record(run.id)
            typer.echo(json_module.dumps(record)) if json else show_record(record, files.run(run.id))
        elif json:
            typer.echo(json_module.dumps(run_as_dict(run, runs)))
        else:
            typer.echo(run.id)
