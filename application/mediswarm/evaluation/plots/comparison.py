"""Local against federated, site by site, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mediswarm.evaluation.plots.canvas import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    PLAIN,
    label_of,
    new_figure,
    to_svg,
)
from mediswarm.evaluation.result import FEDERATED, LOCAL, Result, only

_CHANCE = 0.5
_STYLES = {  # vertical offset, colour, marker, filling
    LOCAL: (-0.16, PLAIN, "o", PAPER),
    FEDERATED: (0.16, ACCENT, "D", ACCENT),
}


def comparison_plot(results: list[Result], sites: Sequence[str], metric: str) -> Markup:
    """One row for each site: the local value (open circle) above the federated one (filled diamond).

    The line through a mark is its 95 % interval, dashed where the value is
    descriptive.
    """
    figure, axes = new_figure(430, 70 + 54 * len(sites))
    leftmost, said = _CHANCE, []
    marked = {result.site for result in results if result.metric == metric and result.descriptive}
    for method, (offset, colour, marker, filling) in _STYLES.items():
        label: str | None = method  # once in the legend
        for site, result in only(results, metric, method).items():
            if result.value is None:
                continue
            height = sites.index(site) + offset
            if result.low is not None and result.high is not None:
                leftmost = min(leftmost, result.low)
                dash = (0, (2, 2)) if result.descriptive else "-"
                axes.plot([result.low, result.high], [height] * 2, color=colour, linewidth=2, linestyle=dash)
            axes.plot(
                [result.value],
                [height],
                label=label,
                linestyle="",
                color=colour,
                marker=marker,
                markerfacecolor=filling,
                markersize=9,
                markeredgewidth=2,
            )
            label = None
            leftmost = min(leftmost, result.value)
            said.append(f"{site} {method} {result.value:.3f}")
    axes.axvline(_CHANCE, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
    axes.text(_CHANCE, -0.62, " chance", color=MUTED, fontsize=10, va="center")
    axes.set_xlim(leftmost - 0.03, 1.01)
    axes.set_ylim(len(sites) - 0.5, -0.8)
    names = [f"{label_of(site)} *" if site in marked else label_of(site) for site in sites]
    axes.set_yticks(range(len(sites)), names)
    axes.tick_params(axis="y", labelcolor=INK, labelsize=12)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("test AUROC, mean over classes", color=MUTED, fontsize=11)
    if said:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=11, labelcolor=INK)
    return to_svg(figure, "comparison", f"Test AUROC of each site, local and federated: {', '.join(said)}.")
