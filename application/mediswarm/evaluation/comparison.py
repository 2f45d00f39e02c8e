"""The comparison for machines (``summary.json``) and for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from mediswarm.errors import UsageError
from mediswarm.evaluation.caveats import caveats
from mediswarm.evaluation.result import FEDERATED, LOCAL, Difference, Result, only
from mediswarm.evaluation.verdict import verdict


def summarise(
    results: list[Result],
    *,
    job: str,
    seconds: Mapping[str, float],
    differences: Sequence[Difference] = (),
) -> dict[str, Any]:
    """Everything known about a comparison as JSON values.

    Raises:
        UsageError: MS-E007 when a site, method and metric stand twice.
    """
    seen: set[tuple[str, str, str]] = set()
    for result in results:
        key = (result.site, result.method, result.metric)
        if key in seen:
            raise UsageError("MS-E007", f"site {key[0]} has two results of {key[2]} for method {key[1]}")
        seen.add(key)
    found = verdict(results, differences)
    return {
        "job": job,
        "verdict": found.sentence,
        "mean_auroc_macro": {LOCAL: found.local, FEDERATED: found.federated},
        "results": [_as_dict(result) | {"method": result.method} for result in results],
        "differences": [_as_dict(difference) for difference in differences],
        "seconds": {phase: round(value, 3) for phase, value in seconds.items()},
    }


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write what :func:`summarise` gave as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def comparison_table(results: list[Result], differences: Sequence[Difference] = ()) -> Table:
    """Local against federated macro AUROC for each site, readable without colour."""
    found = verdict(results, differences)
    table = Table(
        title="Test AUROC, mean over classes, with its 95 % interval",
        caption=Text("\n".join(_caption(results))),
        caption_justify="left",
        title_justify="left",
        show_footer=found.local is not None,
    )
    table.add_column("site", footer="mean")
    table.add_column("cases", justify="right")
    table.add_column("local", justify="right", footer=_footer(found.local))
    table.add_column("federated", justify="right", footer=_footer(found.federated), style="bold")
    change = "" if found.local is None or found.federated is None else f"{found.federated - found.local:+.3f}"
    table.add_column("difference", justify="right", footer=change)
    local, federated = (only(results, "auroc_macro", method) for method in (LOCAL, FEDERATED))
    paired = {difference.site: difference for difference in differences}
    for site in dict.fromkeys([*local, *federated]):
        before, after = local.get(site), federated.get(site)
        support = next(result.support for result in (after, before) if result)
        change_cell = _change(before, after, paired.get(site))
        table.add_row(Text(site), str(support), _cell(before), _cell(after), change_cell)
    return table


def _as_dict(found: Result | Difference) -> dict[str, Any]:
    return {
        "site": found.site,
        "metric": found.metric,
        "value": found.value,
        "support": found.support,
        "interval": [found.low, found.high] if found.low is not None else None,
        "descriptive": found.descriptive,
        "classes": list(found.classes),
    }


def _caption(results: list[Result]) -> list[str]:
    marked = any(result.descriptive and result.metric == "auroc_macro" for result in results)
    return [*(["* descriptive: too few test cases"] if marked else []), *caveats(results)]


def _cell(result: Result | None) -> str:
    if result is None or result.value is None:
        return "n/a"
    return f"{result.value:.3f}{'*' if result.descriptive else ''}{_interval(result)}"


def _change(before: Result | None, after: Result | None, paired: Difference | None) -> str:
    if before is None or after is None or before.value is None or after.value is None:
        return "n/a"
    return f"{after.value - before.value:+.3f}{_interval(paired) if paired else ''}"


def _interval(found: Result | Difference) -> str:
    if found.low is None or found.high is None:
        return ""
    sign = "+" if isinstance(found, Difference) else ""
    # on a line of its own, so that the table fits a terminal of 80 columns
    return f"\n{found.low:{sign}.2f} to {found.high:{sign}.2f}"


def _footer(value: float | None) -> str:
    return f"{value:.3f}" if value is not None else ""
