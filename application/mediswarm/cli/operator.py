"""What the operator's commands share: the admin kit, the state directory, and watching a run."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediswarm.cli.run_view import RunView, counted
from mediswarm.errors import KitError, SessionError, error_from_dict

if TYPE_CHECKING:
    from mediswarm.flare.operator_files import OperatorFiles
    from mediswarm.flare.run_state import Run, RunState
    from mediswarm.flare.session import ServerSession

KitOption = Annotated[
    Path | None,
    typer.Option("--kit", metavar="DIR", envvar="MEDISWARM_KIT", help="Folder of the admin's startup kit."),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="MEDISWARM_STATE_DIR",
        help="Where this operator's runs are kept (default: ~/.local/state/mediswarm).",
    ),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it; see `mediswarm list`.")
]

_POLL_S = 0.2
_LOOK_AFTER_S, _STARTS = 5.0, 3


class LeftRunning(typer.Exit):
    """The user stopped watching; what was watched goes on."""

    def __init__(self) -> None:
        super().__init__(130)


def operator_files(state: Path | None) -> OperatorFiles:
    """The state directory of an option."""
    from mediswarm.flare.operator_files import OperatorFiles

    os.umask(0o077)  # models of all hospitals lie there
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return OperatorFiles((state or Path(home) / "mediswarm").absolute())


def admin_kit(kit: Path | None) -> Path:
    """The kit of an option.

    Raises:
        KitError: MS-S006 when none was named.
    """
    if kit is None:
        raise KitError("MS-S006", "no startup kit was named")
    return kit.absolute()


def session_with(kit: Path | None, files: OperatorFiles) -> ServerSession:
    """A session with the server of a kit."""
    from mediswarm.flare.session import ServerSession

    return ServerSession(admin_kit(kit), files.transfer)


@contextlib.contextmanager
def left_running(said: str) -> Iterator[None]:
    """Where an interrupt ends the watching and not what is watched."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(said, err=True)
        raise LeftRunning from None


def follow(files: OperatorFiles, state: RunState, run: Run) -> Run:
    """Show a run until it has ended; gives it as it ended.

    Raises:
        LeftRunning: when the user interrupts; the run goes on.
        SessionError: MS-S019 when the supervisor ends again and again.
    """
    job = files.job(run.id, run.job)
    said = f"no longer watched; the run goes on: mediswarm status {run.id}, mediswarm abort {run.id}"
    title = f"{run.id}, {counted(run.rounds, 'round')}"
    with left_running(said), RunView(title, run.rounds, job.selection.metric) as view:
        _watch(files, state, run, view)
    return state.run(run.id)


def _watch(files: OperatorFiles, state: RunState, run: Run, view: RunView) -> None:
    from mediswarm.flare.supervisor_process import ensure_supervisor, is_supervised

    shown, note, starts, looked = 0, "", 0, time.monotonic()
    while True:
        run = state.run(run.id)
        events = files.known_events(run.id)
        for event in events[shown:]:
            view.event(event)
        shown = len(events)
        if run.note != note:
            note = run.note
            view.note(note)
        if run.finished:
            return
        if time.monotonic() - looked > _LOOK_AFTER_S:
            looked = time.monotonic()
            if not is_supervised(files):
                starts += 1
                if starts > _STARTS:
                    raise SessionError("MS-S019", "the supervisor does not stay up", file=files.log)
                ensure_supervisor(files)
        time.sleep(_POLL_S)


def raise_its_error(run: Run) -> None:
    """End the command as the run ended."""
    if run.error is not None:
        raise error_from_dict(run.error)


def run_as_dict(run: Run, state: RunState) -> dict[str, Any]:
    """A run and its segments for machines."""
    from dataclasses import asdict

    return asdict(run) | {"segments": [asdict(segment) for segment in state.segments(run.id)]}
