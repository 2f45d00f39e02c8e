"""How many test cases of each class a site has."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from mediswarm.evaluation.plots.canvas import ACCENT, INK, MUTED, PLAIN, label_of, new_figure, to_svg
from mediswarm.evaluation.result import WELL_SUPPORTED


def support_plot(counts: Mapping[str, int], site: str, largest: int, number: int) -> Markup:
    """One bar for each class with its count; too few cases are hatched, and the limit is a line.

    `largest` is the longest bar of any site, so that sites can be compared;
    `number` tells the site's figure from the others of the page.
    """
    figure, axes = new_figure(300, 44 + 30 * len(counts))
    for row, count in enumerate(counts.values()):
        if count < WELL_SUPPORTED:
            axes.barh(row, count, height=0.62, facecolor="none", edgecolor=PLAIN, hatch="////")
        else:
            axes.barh(row, count, height=0.62, facecolor=ACCENT)
        axes.annotate(
            str(count),
            (count, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=11,
        )
    axes.axvline(WELL_SUPPORTED, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
    axes.set_xlim(0, max(largest, WELL_SUPPORTED) * 1.15)
    axes.set_ylim(len(counts) - 0.4, -0.6)
    axes.set_yticks(range(len(counts)), [label_of(name) for name in counts])
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    return to_svg(figure, f"support-{number}", f"Test cases at {site}: {said}.")
