"""The report of one run: a single HTML page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mediswarm.evaluation.caveats import caveats
from mediswarm.evaluation.report_view import Tables, shares, signed
from mediswarm.evaluation.result import WELL_SUPPORTED, Difference, Result
from mediswarm.evaluation.roc import RocCurve
from mediswarm.evaluation.run_facts import Point, RunFacts
from mediswarm.evaluation.verdict import verdict


def write_report(
    path: Path,
    facts: RunFacts,
    results: list[Result],
    *,
    differences: Sequence[Difference] = (),
    curves: Sequence[RocCurve] = (),
) -> None:
    """Write the report of a run.

    Args:
        path: the HTML file; its folder is made.
        facts: what was run.
        results: of :func:`evaluate_predictions`, for every site, local and federated.
        differences: of :func:`compare_predictions`, for the intervals of the gain.
        curves: of :func:`roc_curves`; the section is left out without them.

    The page holds counts, metrics and points of curves, and no case id.
    """
    tables = Tables(results, differences, facts.sites)
    page = _environment().get_template("report.html.j2")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = page.render(
        facts=facts,
        verdict=verdict(results, differences),
        tables=tables,
        shares=shares(facts.contributions, facts.sites),
        caveats=caveats(results),
        figures=_figures(facts, results, curves, tables),
        well_supported=WELL_SUPPORTED,
        total_seconds=sum(facts.seconds.values()),
    )
    path.write_text(text, encoding="utf-8")


def _figures(
    facts: RunFacts, results: list[Result], curves: Sequence[RocCurve], tables: Tables
) -> dict[str, Any]:
    from mediswarm.evaluation import plots  # matplotlib takes its time to load

    losses = [
        Point(line.round + 1, line.site, "loss", line.loss)
        for line in facts.contributions
        if line.left_out is None
    ]
    support = {site: tables.support(site) for site in tables.sites}
    largest = max((count for counts in support.values() for count in counts.values()), default=0)
    drawn = dict.fromkeys(curve.label for curve in curves)
    return {
        "legend": plots.site_legend(facts.sites, with_all=False),
        "legend_with_all": plots.site_legend(facts.sites, with_all=True),
        "comparison": plots.comparison_plot(results, tables.sites, "auroc_macro"),
        "metric": plots.metric_plot(facts.progress, facts.sites, facts.metric, facts.best_model)
        if facts.progress
        else None,
        "loss": plots.loss_plot(losses, facts.sites) if any(p.value is not None for p in losses) else None,
        "roc": {
            label: plots.roc_plot(curves, facts.sites, label, number)
            for number, label in enumerate(name for name in facts.classes if name in drawn)
        },
        "support": {
            site: plots.support_plot(counts, site, largest, number)
            for number, (site, counts) in enumerate(support.items())
        },
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mediswarm.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=signed, duration=_duration, strong_numbers=_strong_numbers)
    return environment


def _duration(seconds: float) -> str:
    if seconds < 100:  # noqa: PLR2004 - below, seconds are easier to read than minutes
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _strong_numbers(sentence: str) -> Markup:
    """The sentence, escaped, with its three-digit numbers emphasised."""
    text = re.sub(r"\b\d\.\d{3}\b", r"<strong>\g<0></strong>", str(escape(sentence)))
    return Markup(text)  # noqa: S704 - escaped in the line above
