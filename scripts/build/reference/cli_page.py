"""docs/cli.md: from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from reference.markdown import GENERATED, table

from mediswarm.cli.app import app

INTRO = f"""\
# Commands

{GENERATED}

Results go to standard output, progress and errors to standard error. Exit codes and error codes stand in
[errors.md](errors.md), the keys of a job in [job.md](job.md).
"""


def cli_page() -> str:
    """The page."""
    lines = [INTRO]
    for name, command in commands():
        lines += _section(name, command)
    return "\n".join(lines).rstrip() + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group with its full name, a group before its commands."""
    yield from _below("mediswarm", typer.main.get_command(app))


def parameters(command: Any) -> Iterator[tuple[str, Any]]:
    """Arguments and options of a command as they are typed, such as ``--data DIR``."""
    for parameter in command.params:
        metavar = parameter.metavar or ""
        if parameter.param_type_name == "argument":
            yield metavar or parameter.name.upper(), parameter
        else:
            yield " ".join([*parameter.opts, metavar]).strip(), parameter


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for own, child in sorted(getattr(command, "commands", {}).items()):
        yield from _below(f"{name} {own}", child)


def _section(name: str, command: Any) -> list[str]:
    given = list(parameters(command))
    group = hasattr(command, "commands")
    line = " ".join([name, *(typed for typed, parameter in given if parameter.required)])
    lines = [f"## {name}", "", f"    {line}{' COMMAND' if group else ''}", "", command.help or "", ""]
    rows = [(f"`{typed}`", _default(parameter), parameter.help or "") for typed, parameter in given]
    return lines + (table(("argument or option", "default", "meaning"), rows) if rows else [])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    return f"`{value}`" if isinstance(value, str | int | Path) and not isinstance(value, bool) else ""
