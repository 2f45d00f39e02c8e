"""A preparation as it is seen on a terminal: a bar while it lasts, then what was not prepared."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from typing_extensions import Self

from mediswarm.cli.run_view import counted

if TYPE_CHECKING:
    from mediswarm.data.prepare.case import CaseOutcome
    from mediswarm.data.prepare.preparation import Preparation


class PrepareView:
    """Shows on standard error how many cases are done; without a terminal, nothing but failures."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("preparing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("cases"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.bar = self.progress.add_task("", total=None, note="")
        self.failed = 0

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def case(self, total: int, outcome: CaseOutcome | None) -> None:
        """One more case is done, or with None: so many will be."""
        self.progress.update(self.bar, total=total)
        if outcome is None:
            return
        if outcome.status == "failed":
            self.failed += 1
            self.console.print(
                f"{outcome.case}: error[{outcome.code}] {outcome.message}", markup=False, soft_wrap=True
            )
        self.progress.update(self.bar, advance=1, note=f"{self.failed} failed" if self.failed else "")


def show_preparation(done: Preparation, *, show_cases: bool) -> None:
    """The table of what failed, with repairs, and a summary in a line."""
    console = Console()
    if done.failed:
        table = Table("case", "code", "reason", "repair")
        if show_cases:
            # a path that is cut off names nothing
            table.add_column("files, series", overflow="fold")
        for one in done.failed:
            cells = [one.case, one.code, one.message, one.repair, *([one.detail] if show_cases else [])]
            table.add_row(*(cell.replace("[", r"\[") for cell in cells))
        console.print(table)
    parts = [f"{counted(done.count('prepared'), 'case')} prepared", f"{done.count('kept')} kept as they were"]
    if done.failed:
        parts.append(f"{len(done.failed)} to repair")
    console.print(", ".join(parts), soft_wrap=True)
    console.print(f"look at the pictures: {done.page}", markup=False, soft_wrap=True)
