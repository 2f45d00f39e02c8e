"""`mediswarm`: puts the commands together, and turns every error into words and an exit code."""

from __future__ import annotations

import json
import signal
import sys

import typer

from mediswarm import __version__
from mediswarm.cli import (
    check,
    demo,
    doctor,
    image,
    job,
    kit,
    node,
    odelia,
    preflight,
    provision,
    runs,
    simulate,
    stamp,
    submit,
    supervise,
    train,
    weights,
)
from mediswarm.cli.operator import LeftRunning
from mediswarm.cli.unforeseen import explained
from mediswarm.errors import MediSwarmError

app = typer.Typer(
    name="mediswarm",
    help="Hospitals train one model together; no patient's data leaves a hospital.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(image.app, name="image")
app.add_typer(job.app, name="job")
app.add_typer(kit.app, name="kit")
app.add_typer(node.app, name="node")
app.add_typer(odelia.app, name="odelia")
app.add_typer(stamp.app, name="stamp")
app.add_typer(weights.app, name="weights")
app.command("provision")(provision.provision)
app.command("check")(check.check)
app.command("train")(train.train)
app.command("simulate")(simulate.simulate)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("preflight")(preflight.preflight)
app.command("submit")(submit.submit)
app.command("status")(runs.status)
app.command("logs")(runs.logs)
app.command("abort")(runs.abort)
app.command("resume")(runs.resume)
app.command("fetch")(runs.fetch)
app.command("list")(runs.list_)
app.command("supervise")(supervise.supervise)


_INTERRUPTED = 130
"""What typer exits with after an interrupt."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mediswarm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command line; what `mediswarm` starts."""
    # a service manager or `timeout` ends with SIGTERM: nothing of a run may be left alive then either
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except MediSwarmError as error:
        sys.exit(_said(error))
    except SystemExit as end:
        if end.code == _INTERRUPTED and not isinstance(end.__context__, LeftRunning):
            typer.echo("stopped; nothing of the run is running any more", err=True)
        raise
    except Exception as error:  # noqa: BLE001 - the last net: a user never sees a stack trace
        sys.exit(_said(explained(error)))


def _said(error: MediSwarmError) -> int:
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": error.as_dict()}))
    typer.echo(error.describe(), err=True)
    return error.exit_code
