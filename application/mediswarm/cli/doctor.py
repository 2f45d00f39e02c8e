"""`mediswarm doctor`: is this machine fit to take part?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mediswarm.cli.arguments import JsonOption


def doctor(
    scratch: Annotated[
        Path, typer.Option("--scratch", metavar="DIR", help="Where caches and runs would go.")
    ] = Path(),
    json: JsonOption = False,
) -> None:
    """Check versions, device, memory, disk and clock; the board can be pasted into a question."""
    from mediswarm.preflight.board import show_board
    from mediswarm.preflight.host import check_host

    raise typer.Exit(show_board(check_host(scratch), title="this machine", as_json=json))
