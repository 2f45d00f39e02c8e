"""A run as it is seen on a terminal: a bar while it lasts, a table when it is over."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from typing_extensions import Self


def counted(number: int, noun: str) -> str:
    """``1 site``, ``2 sites``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class RunView:
    """Shows rounds, contributions and the selection metric on standard error.

    Without a terminal it prints one line for each round.
    """

    def __init__(self, title: str, rounds: int, metric: str) -> None:
        self.metric = metric
        self.console = Console(stderr=True)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rounds"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.title = title
        self.rounds = rounds
        self.bar = self.progress.add_task(title, total=rounds, note="starting")

    def __enter__(self) -> Self:
        self.progress.start()
        if not self.console.is_terminal:
            self.console.print(f"{self.title}: {counted(self.rounds, 'round')}", soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def event(self, event: dict[str, Any]) -> None:
        """Take one event of the run's ledger."""
        kind = event["event"]
        if kind == "start":
            self._note(f"{counted(len(event['sites']), 'site')} ready")
            for site, code in event["left_out"].items():
                self._say(f"site {site} is left out: {code}")
        elif kind == "contribution":
            self._note(f"round {event['round'] + 1}: {event['site']} contributed")
        elif kind == "exclusion":
            self._say(f"round {event['round'] + 1}: site {event['site']} is excluded: {event['reason']}")
        elif kind == "round":
            value = (event["metrics"] or {}).get(self.metric)
            score = f"{self.metric} {value:.3f}" if value is not None else ""
            self.progress.update(self.bar, completed=event["round"] + 1, note=score)
            if not self.console.is_terminal:
                self._say(f"round {event['round'] + 1} of {self.rounds}  {score}  {event['seconds']:.1f} s")

    def note(self, text: str) -> None:
        """Show what the run waits for."""
        if text and not self.console.is_terminal:
            self._say(text)
        self._note(text)

    def _note(self, text: str) -> None:
        self.progress.update(self.bar, note=text)

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)


def show_record(record: dict[str, Any], folder: Path) -> None:
    """Print what a finished run came to."""
    console = Console()
    best = record["best"]
    table = Table(title=f"{record['job']}: {record['state']}", title_justify="left")
    for column in ("site", "train", "validation", "test", f"test {best['metric']}"):
        table.add_column(column, justify="left" if column == "site" else "right")
    for site, said in record["participants"].items():
        value = record["test"].get(site, {}).get(best["metric"])
        cases = said["cases"]
        table.add_row(
            site,
            str(cases["train"]),
            str(cases["validation"]),
            str(cases["test"]),
            "n/a" if value is None else f"{value:.3f}",
        )
    console.print(table)
    console.print(
        f"best model: after {counted(best['model'], 'round')}, "
        f"validation {best['metric']} {best['value']:.3f}\n"
        f"run directory: {folder}",
        highlight=False,
        soft_wrap=True,
    )
