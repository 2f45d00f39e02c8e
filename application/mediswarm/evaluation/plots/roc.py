"""ROC curves: one figure for each class."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mediswarm.evaluation.plots.canvas import MUTED, look_of, new_figure, to_svg
from mediswarm.evaluation.result import FEDERATED
from mediswarm.evaluation.roc import RocCurve


def roc_plot(curves: Sequence[RocCurve], sites: Sequence[str], label: str, number: int) -> Markup:
    """The curves of one class: federated as full lines with markers, other methods dashed.

    `number` tells the class's figure from the others of the page.
    """
    figure, axes = new_figure(340, 330)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
    drawn = []
    for curve in (curve for curve in curves if curve.label == label):
        look = look_of(sites.index(curve.site))
        rates = (curve.false_positive_rate, curve.true_positive_rate)
        if curve.method == FEDERATED:
            drawn.append(curve.site)
            axes.plot(
                *rates,
                color=look.colour,
                linewidth=2.2,
                marker=look.marker,
                markevery=0.2,
                markersize=5.5,
            )
        else:
            axes.plot(*rates, color=look.colour, linewidth=1.3, linestyle=(0, (3, 2)), alpha=0.75)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel("1 \u2212 specificity", color=MUTED, fontsize=11)
    axes.set_ylabel("sensitivity", color=MUTED, fontsize=11)
    alt = (
        f"ROC curves of class {label} for {', '.join(drawn) or 'no site'}; the AUROC values are in the table."
    )
    return to_svg(figure, f"roc-{number}", alt)
