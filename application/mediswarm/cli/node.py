"""`mediswarm node`: the running process of a site or server, its health and its state."""

from __future__ import annotations

import json as json_module
import os
from pathlib import Path
from typing import Annotated

import typer

from mediswarm.cli.arguments import JsonOption
from mediswarm.errors import MediSwarmError

app = typer.Typer(help="Run a site's or server's node, and ask how it is.", no_args_is_help=True)

KitOption = Annotated[
    Path, typer.Option("--kit", metavar="DIR", envvar="MEDISWARM_KIT", help="The startup kit's folder.")
]
NodeScratchOption = Annotated[
    Path,
    typer.Option(
        "--scratch",
        metavar="DIR",
        envvar="MEDISWARM_SCRATCH_DIR",
        help="Writable directory of the node: NVFlare's workspace, logs, caches.",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", envvar="MEDISWARM_DATA_DIR", help="The site's data; only read."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="NAME", envvar="MEDISWARM_DEVICE", help="cpu, cuda, cuda:1, …")
]


@app.command()
def run(
    kit: KitOption,
    scratch: NodeScratchOption,
    data: DataDirOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Connect a site, or serve a federation, until stopped by SIGTERM."""
    from mediswarm.flare.node import Node
    from mediswarm.flare.site_settings import accepted_jobs, environment_of

    accepted_jobs()  # a misspelt hash would refuse every job, days later
    os.umask(0o077)  # case ids and models lie in the scratch directory: other accounts need not read them
    there = data.resolve() if data is not None and data.is_dir() else None
    settings = environment_of(there, scratch.resolve(), device)
    raise typer.Exit(Node(kit.resolve(), scratch.resolve(), settings).run())


@app.command()
def health(scratch: NodeScratchOption) -> None:
    """Exit with 0 only if the site is registered with the server, or the server serves."""
    from mediswarm.flare.node_state import require_health

    said = require_health(scratch)
    typer.echo(f"{said.name} is {said.state}")


@app.command()
def status(scratch: NodeScratchOption, json: JsonOption = False) -> None:
    """Say how the node is, and what it waits for."""
    from mediswarm.flare.node_state import is_running, node_state, require_health

    said, running = node_state(scratch), is_running(scratch)
    try:
        require_health(scratch)
        problem = None
    except MediSwarmError as error:
        problem = error
    if json:
        document = {**vars(said), "running": running, "healthy": problem is None}
        typer.echo(json_module.dumps(document))
        return
    typer.echo(f"{said.role} {said.name} of {said.federation}, kit of generation {said.generation}")
    typer.echo(f"state      {said.state if running else 'not running'} since {said.since}")
    typer.echo(f"server     {said.server}" + (f", last heard {said.heartbeat}" if said.heartbeat else ""))
    if said.image:
        typer.echo(f"image      {said.image}")
    if problem is not None:
        typer.echo(problem.describe())
