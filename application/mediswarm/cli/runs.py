"""`mediswarm status|logs|abort|resume|fetch|list`: the operator's runs."""

from __future__ import annotations

import json as json_module
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from mediswarm.cli.arguments import JsonOption
from mediswarm.cli.operator import (
    KitOption,
    RunArgument,
    StateOption,
    follow,
    left_running,
    operator_files,
    raise_its_error,
    run_as_dict,
    session_with,
)
from mediswarm.cli.run_view import show_record
from mediswarm.cli.runs_view import event_line, show_run, show_runs, show_sites
from mediswarm.errors import SessionError, UsageError

_ABORT_S = 120.0
_POLL_S = 0.3


def list_(state: StateOption = None, json: JsonOption = False) -> None:
    """List this operator's runs; the server is not asked."""
    from mediswarm.flare.run_state import RunState

    with RunState(operator_files(state).database) as runs:
        if json:
            typer.echo(json_module.dumps([run_as_dict(run, runs) for run in runs.runs()]))
        else:
            show_runs(runs)


def status(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run (default: server, sites and all runs).")
    ] = None,
    kit: KitOption = None,
    state: StateOption = None,
    json: JsonOption = False,
) -> None:
    """Show how a run stands; without RUN, which sites are connected, and the runs."""
    from dataclasses import asdict

    from mediswarm.flare.run_state import RunState

    files = operator_files(state)
    with RunState(files.database) as runs:
        if run is not None:
            found = runs.run(run)
            if json:
                typer.echo(json_module.dumps(run_as_dict(found, runs) | {"record": files.record(found.id)}))
            else:
                show_run(found, runs.segments(found.id), files.record(found.id))
            return
        with session_with(kit, files) as session:
            started, sites, roster = session.started(), session.sites(), session.roster()
            expires = session.expires()
        if json:
            document = {
                "server": {"started": started, "roster": roster, "certificates_end": expires.isoformat()},
                "sites": [asdict(site) for site in sites],
                "runs": [run_as_dict(run, runs) for run in runs.runs()],
            }
            typer.echo(json_module.dumps(document))
        else:
            show_sites(sites, roster, expires)
            show_runs(runs)


def logs(
    run: RunArgument,
    kit: KitOption = None,
    state: StateOption = None,
    lines: Annotated[int, typer.Option("--lines", min=0, help="Last lines of the server's log.")] = 40,
    watch: Annotated[bool, typer.Option("--follow", help="Go on until the run ends.")] = False,
) -> None:
    """Print a run's events and the end of the server's log; a site's log stays at the site."""
    from mediswarm.flare.run_state import RunState

    files = operator_files(state)
    with RunState(files.database) as runs:
        found = runs.run(run)
        shown = 0
        with left_running("no longer watched; the run goes on"):
            while True:
                found = runs.run(found.id)
                events = files.known_events(found.id)
                for event in events[shown:]:
                    typer.echo(event_line(event))
                shown = len(events)
                if found.finished or not watch:
                    break
                time.sleep(_POLL_S)
        jobs = [segment.job_id for segment in runs.segments(found.id) if segment.job_id]
    if jobs and lines:
        with session_with(kit or Path(found.kit), files) as session:
            text = session.server_log(jobs[-1])
        typer.echo(f"\nserver, segment {len(jobs) - 1}:")
        typer.echo("\n".join(text.splitlines()[-lines:]))


def abort(run: RunArgument, state: StateOption = None, json: JsonOption = False) -> None:
    """Stop a run; returns when nothing of it is running any more."""
    from mediswarm.flare.run_state import RunState
    from mediswarm.flare.supervisor_process import ensure_supervisor

    files = operator_files(state)
    with RunState(files.database) as runs:
        found = runs.run(run)
        if found.finished:
            raise UsageError("MS-S012", f"run {found.id} has ended already: {found.state}")
        runs.set_run(found.id, wanted="abort")
        ensure_supervisor(files)
        deadline = time.monotonic() + _ABORT_S
        with left_running("no longer waited for; the supervisor goes on with stopping the run"):
            while not (found := runs.run(found.id)).finished:
                if time.monotonic() > deadline:
                    raise SessionError("MS-S018", f"run {found.id} is still stopping: {found.note}")
                time.sleep(_POLL_S)
        typer.echo(json_module.dumps(run_as_dict(found, runs)) if json else f"{found.id}: {found.state}")


def resume(
    run: RunArgument,
    sites: Annotated[
        str | None,
        typer.Option("--sites", metavar="A,B,C", help="Go on with these sites (default: as before)."),
    ] = None,
    kit: KitOption = None,
    state: StateOption = None,
    watch: Annotated[
        bool, typer.Option("--follow", help="Show the run until it ends; the exit code is the run's.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Go on with a run from its last committed model, after whatever ended it."""
    from mediswarm.flare.run_state import RunState
    from mediswarm.flare.submission import named_sites
    from mediswarm.flare.supervisor_process import ensure_supervisor

    files = operator_files(state)
    with RunState(files.database) as runs:
        found = runs.run(run)
        if found.state == "succeeded":
            raise UsageError("MS-S012", f"run {found.id} has succeeded; there is nothing to go on with")
        with session_with(kit or Path(found.kit), files) as session:
            session.sites()
            roster = named_sites(sites, session) if sites else found.roster
        place = str(kit.absolute()) if kit else found.kit
        runs.resume(found.id, place, roster)
        ensure_supervisor(files)
        found = runs.run(found.id)
        if watch:
            found = follow(files, runs, found)
            raise_its_error(found)
            record = files.record(found.id)
            typer.echo(json_module.dumps(record)) if json else show_record(record, files.run(found.id))
        else:
            typer.echo(json_module.dumps(run_as_dict(found, runs)) if json else f"{found.id}: goes on")


def fetch(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to put it (default: runs/<RUN>).")
    ] = None,
    state: StateOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a run's record and models, as of its last segment."""
    from mediswarm.flare.run_state import RunState

    files = operator_files(state)
    with RunState(files.database) as runs:
        found = runs.run(run)
    folder = out or Path("runs") / found.id
    source = files.run(found.id)
    if not (source / "contributions.csv").is_file():
        raise UsageError("MS-S017", f"nothing of run {found.id} has come back yet: {found.state}")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("MS-U003", "the directory is not empty", file=folder)
    try:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    except (OSError, shutil.Error) as error:
        raise UsageError("MS-U006", f"it cannot be copied: {error}", file=folder) from error
    held = [name for name in ("best", "last") if (folder / name).is_dir()]
    if json:
        typer.echo(
            json_module.dumps({"run": found.id, "state": found.state, "folder": str(folder), "models": held})
        )
    else:
        swarm = files.record(found.id).get("workflow", {}).get("name") == "swarm"
        none = "no model: in a swarm the sites keep it" if swarm else "no model: no round was committed"
        models = f"models {' and '.join(held)}" if held else none
        typer.echo(f"{folder}: record of {found.id} ({found.state}), {models}")
