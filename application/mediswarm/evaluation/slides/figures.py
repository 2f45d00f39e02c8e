"""Figures of a model on a site's patients: ROC, Kaplan-Meier, predicted against true."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from mediswarm.evaluation.plots.canvas import INK, MUTED, label_of, look_of, new_figure, to_svg
from mediswarm.evaluation.roc import curves_of
from mediswarm.evaluation.slides.judged import JudgedPatients, Label
from mediswarm.evaluation.slides.statistics import Statistic
from mediswarm.evaluation.slides.survival_groups import NAMES, SurvivalGroups

_STYLE = Path(__file__).resolve().parents[1] / "report.css"
_TWO, _SMALL = 2, 11


def roc_figure(label: Label, ids: Sequence[str], rows: Sequence[Statistic]) -> Markup:
    """The curve of each category against the others; of two categories, that of the second alone.

    `rows` hold the AUROCs for the legend.
    """
    figure, axes = new_figure(400, 430)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
    shown = label.categories[1:] if len(label.categories) == _TWO else label.categories
    said = []
    for curve in curves_of(label.table(ids), "", ""):
        if curve.label not in shown:
            continue
        look = look_of(label.categories.index(curve.label))
        text = f"{curve.label}: AUROC {_of(rows, label.name, curve.label)}"
        said.append(text)
        axes.plot(
            curve.false_positive_rate,
            curve.true_positive_rate,
            label=label_of(text),
            color=look.colour,
            linewidth=2.2,
            marker=look.marker,
            markevery=0.2,
            markersize=5.5,
        )
    if not said:
        have = [label.categories[place] for place in sorted(set(label.truth.tolist())) if place >= 0]
        why = f"no curve: all patients are {have[0]}" if have else "no curve: no patient has the label"
        said.append(why)
        axes.text(0.5, 0.6, label_of(why), ha="center", color=INK, fontsize=_SMALL)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel("1 \u2212 specificity", color=MUTED, fontsize=_SMALL)
    axes.set_ylabel("sensitivity", color=MUTED, fontsize=_SMALL)
    _legend(figure, bool(axes.get_legend_handles_labels()[0]))
    return to_svg(figure, "roc", f"ROC curves of {label.name}: {'; '.join(said)}.")


def survival_figure(groups: SurvivalGroups, unit: str) -> Markup:
    """Kaplan and Meier's curves of lower and higher risk, with the log-rank test; a tick is a censoring."""
    figure, axes = new_figure(500, 400)
    for index, (name, size, events) in enumerate(zip(NAMES, groups.sizes, groups.events, strict=True)):
        if not size:
            continue
        look, curve = look_of(index), groups.survival[index]
        times = np.concatenate([[0.0], groups.times])
        heights = np.concatenate([[1.0], curve])
        text = f"{name}: {size} patients, {events} events"
        axes.step(
            times,
            heights,
            where="post",
            color=look.colour,
            linewidth=2.2,
            label=text,
            linestyle="-" if index else (0, (5, 2)),
        )
        censored = groups.censored[index]
        axes.plot(
            censored,
            heights[np.searchsorted(times, censored)],
            color=look.colour,
            linestyle="",
            marker="|",
            markersize=8,
        )
    axes.set(ylim=(-0.02, 1.02))
    axes.set_xlim(left=0)
    p = "n/a" if groups.p is None else "< 0.001" if groups.p < 1e-3 else f"= {groups.p:.3f}"  # noqa: PLR2004
    whose = "of the run's validation" if groups.of_the_run else "the median"
    tested = f"log-rank p {p}, at log risk {groups.cut_off:.2f} ({whose})"
    axes.set_xlabel(f"time in {unit}; {tested}", color=MUTED, fontsize=_SMALL)
    axes.set_ylabel("share without event", color=MUTED, fontsize=_SMALL)
    _legend(figure, True)
    return to_svg(figure, "survival", f"Kaplan-Meier curves of lower and higher risk; {tested}.")


def regression_figure(judged: JudgedPatients, name: str, unit: str, rows: Sequence[Statistic]) -> Markup:
    """Predicted against true numbers, and where both are equal."""
    figure, axes = new_figure(400, 430)
    truth, said = judged.targets.reshape(-1).numpy(), judged.predictions.reshape(-1).numpy()
    ends = [min(truth.min(), said.min()), max(truth.max(), said.max())]
    look = look_of(0)
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
    shown = [
        f"{words} {_of(rows, name, '', metric)}"
        for metric, words in (("r2", "R²"), ("pearson", "Pearson's r"), ("mae", "mean absolute error"))
    ]
    axes.plot(
        truth,
        said,
        linestyle="",
        marker=look.marker,
        markersize=5.5,
        color=look.colour,
        alpha=0.75,
        label="\n".join(shown),
    )
    axes.set(aspect="equal")
    unit = "" if unit == "1" else f" in {unit}"
    axes.set_xlabel(label_of(f"{name}{unit}"), color=MUTED, fontsize=_SMALL)
    axes.set_ylabel("predicted", color=MUTED, fontsize=_SMALL)
    _legend(figure, True)
    return to_svg(figure, "regression", f"Predicted against true {name}: {', '.join(shown)}.")


def write_figure(path: Path, drawn: Markup) -> None:
    """Write a figure as an SVG that needs no page around it, in the light colours of the report."""
    light = dict(re.findall(r"(--[\w-]+): (#\w+)", _STYLE.read_text(encoding="utf-8").partition("@media")[0]))
    text = re.sub(r"var\((--[\w-]+)\)", lambda match: light[match[1]], str(drawn))
    text = text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    start = text.index(">") + 1
    paper = f'<rect width="100%" height="100%" fill="{light["--paper"]}"/>'
    path.write_text(text[:start] + paper + text[start:], encoding="utf-8")


def _legend(figure: Figure, wanted: bool) -> None:
    if wanted:
        figure.legend(loc="outside upper left", frameon=False, fontsize=_SMALL, labelcolor=INK)


def _of(rows: Sequence[Statistic], label: str, category: str, metric: str = "auroc") -> str:
    """A value with its interval, for a legend."""
    for row in rows:
        if (row.label, row.category, row.metric) == (label, category, metric):
            if row.value is None:
                break
            limits = "" if row.low is None else f" ({row.low:.2f} to {row.high:.2f})"
            return f"{row.value:.2f}{limits}"
    return "n/a"
