"""`mediswarm supervise`: the supervisor in the foreground, for a container or a service manager."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from mediswarm.cli.operator import StateOption, operator_files


def supervise(
    state: StateOption = None,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End when no run is left to look after.")
    ] = False,
) -> None:
    """Look after all runs of a state directory until stopped; stopping it harms no run."""
    from mediswarm.flare import supervisor_process

    supervisor_process.log_to_stderr()
    try:
        supervisor_process.supervise(operator_files(state), until_done, threading.Event())
    except KeyboardInterrupt:  # also SIGTERM: how a service ends
        typer.echo("the supervisor has stopped; runs go on at the server and wait here", err=True)
