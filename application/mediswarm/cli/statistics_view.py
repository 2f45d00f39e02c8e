"""A model's statistics on a site's patients, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # scipy takes its time to load
    from mediswarm.evaluation.slides.statistics import Statistic


def show_statistics(title: str, rows: Sequence[Statistic]) -> None:
    """The table, with a star for values that rest on few patients."""
    table = Table(title=title, title_justify="left")
    for column in ("label", "category", "metric", "value", "95 % interval", "support"):
        table.add_column(column, justify="right" if column in ("value", "support") else "left", no_wrap=True)
    for row in rows:
        number = "n/a" if row.value is None else f"{row.value:.0f}" if row.counted else f"{row.value:.3f}"
        value = f"{number}{' *' if row.descriptive else '  '}"
        limits = "" if row.low is None else f"{row.low:.3f} to {row.high:.3f}"
        table.add_row(row.label, row.category, row.metric, value, limits, str(row.support))
    console = Console(markup=False, highlight=False)
    console.print(table)
    if any(row.descriptive for row in rows):
        console.print("* fewer than ten patients on a side: it describes these patients, and no more")
