"""Values by rounds done: the selection metric and the training loss, for each site."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from mediswarm.evaluation.plots.canvas import (
    ACCENT,
    INK,
    MUTED,
    look_of,
    new_figure,
    to_svg,
)
from mediswarm.evaluation.run_facts import ALL_SITES, Point

_WIDTH, _HEIGHT = 400, 300


def metric_plot(points: Sequence[Point], sites: Sequence[str], metric: str, best_model: int | None) -> Markup:
    """The selection metric on validation cases by round: thin for each site, bold over all sites."""
    title = f"{metric} on validation cases"
    return _line_plot("metric", title, points, sites, best_model)


def loss_plot(points: Sequence[Point], sites: Sequence[str]) -> Markup:
    """The mean training loss per case by round, for each site."""
    return _line_plot("loss", "Training loss", points, sites, None)


def _line_plot(
    name: str, title: str, points: Sequence[Point], sites: Sequence[str], best_model: int | None
) -> Markup:
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    for index, site in enumerate(sites):
        rounds, values = _series(points, site)
        look = look_of(index)
        axes.plot(
            rounds,
            values,
            color=look.colour,
            marker=look.marker,
            markersize=5,
            linewidth=1.5,
        )
    rounds, values = _series(points, ALL_SITES)
    if rounds:
        axes.plot(rounds, values, color=INK, linewidth=3, solid_capstyle="round")
    if best_model is not None:
        axes.axvline(best_model, color=ACCENT, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            "best",
            (best_model, 0),
            xycoords=("data", "axes fraction"),
            xytext=(4, 4),
            textcoords="offset points",
            color=ACCENT,
            fontsize=11,
        )
    axes.set_xlabel("rounds done", color=MUTED, fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(visible=False, axis="x")
    last = [
        f"{site} {values[-1]:.3f}" for site in (*sites, ALL_SITES) if (values := _series(points, site)[1])
    ]
    return to_svg(figure, name, f"{title} by rounds done. At the end: {', '.join(last) or 'none'}.")


def _series(points: Sequence[Point], site: str) -> tuple[list[int], list[float]]:
    known = sorted((p.rounds, p.value) for p in points if p.site == site and p.value is not None)
    return [number for number, _ in known], [value for _, value in known]
