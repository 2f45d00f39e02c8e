"""Findings as a board for people, as JSON for scripts, and as an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mediswarm.data.findings import Finding
from mediswarm.errors import DataError

_STYLES = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}
_CASES_SHOWN = 20
_UNWRAPPED = 100_000


def show_board(
    findings: Sequence[Finding],
    *,
    title: str,
    as_json: bool = False,
    show_cases: bool = False,
    failed: int = DataError.exit_code,
) -> int:
    """Print the findings on standard output.

    Args:
        findings: what was found.
        title: what was checked.
        as_json: print :func:`as_dict` instead of the board.
        show_cases: also print the ids concerned; for eyes at the site only.
        failed: the exit code if any check failed; 4 as for a DataError.

    Returns:
        the exit code: `failed` if any check failed, else 0.
    """
    if as_json:
        sys.stdout.write(
            json.dumps(as_dict(findings, title, show_cases, failed), indent=2, ensure_ascii=False) + "\n"
        )
    else:
        _print(board(findings, title, show_cases))
    return exit_code(findings, failed)


def exit_code(findings: Sequence[Finding], failed: int = DataError.exit_code) -> int:
    """`failed` (4 as for a DataError) if any check failed, else 0; a warning is no failure."""
    return failed if any(finding.status == "FAIL" for finding in findings) else 0


def as_dict(
    findings: Sequence[Finding], title: str, show_cases: bool = False, failed: int = DataError.exit_code
) -> dict[str, Any]:
    """The board as JSON values; `cases` are there only where `show_cases`."""
    count = _counts(findings)
    return {
        "title": title,
        "status": next((status for status in ("FAIL", "WARN") if count[status]), "PASS"),
        "exit_code": exit_code(findings, failed),
        "counts": count,
        "findings": [
            {
                "status": finding.status,
                "subject": finding.subject,
                "message": finding.message,
                "code": finding.code,
                "repair": finding.repair,
                "file": finding.file,
                **({"cases": list(finding.cases)} if show_cases else {}),
            }
            for finding in findings
        ],
    }


def board(findings: Sequence[Finding], title: str, show_cases: bool = False) -> Group:
    """One line for each finding, its hint below it, and the count at the end."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        status = Text(finding.status, style=_STYLES[finding.status])
        grid.add_row(status, Text(finding.subject), _said(finding, show_cases))
    count = _counts(findings)
    warnings = "1 warning" if count["WARN"] == 1 else f"{count['WARN']} warnings"
    summary = f"{count['PASS']} passed, {warnings}, {count['FAIL']} failed"
    return Group(Text(title, style="bold"), grid, Text(summary, style="bold"))


def _print(shown: Group) -> None:
    if sys.stdout.isatty():
        Console().print(shown)
        return
    # a file or another program reads this: a path broken at some width could not be copied or found
    console = Console(width=_UNWRAPPED)
    with console.capture() as captured:
        console.print(shown)
    sys.stdout.write("\n".join(line.rstrip() for line in captured.get().split("\n")))


def _said(finding: Finding, show_cases: bool) -> Text:
    text = Text(finding.message)
    if finding.code:
        text.append(f"  [{finding.code}]", style="dim")
    if finding.file:
        text.append(f"\nin {finding.file}", style="dim")
    if finding.status != "PASS" and finding.repair:
        text.append(f"\nhint: {finding.repair}", style="italic")
    if show_cases and finding.cases:
        more = len(finding.cases) - _CASES_SHOWN
        listed = ", ".join(finding.cases[:_CASES_SHOWN]) + (
            f" and {more} more (see --json)" if more > 0 else ""
        )
        text.append(f"\ncases: {listed}")
    return text


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return {status: sum(finding.status == status for finding in findings) for status in _STYLES}
