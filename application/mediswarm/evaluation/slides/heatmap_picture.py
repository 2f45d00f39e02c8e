"""A slide's tiles as a picture, coloured by what each adds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mediswarm.evaluation.plots.canvas import label_of
from mediswarm.evaluation.slides.colours import Scale
from mediswarm.evaluation.slides.slide_tiles import SlideTiles
from mediswarm.evaluation.slides.tile_scores import ATTENTION
from mediswarm.evaluation.slides.whole_slide import WholeSlide

_IN_A_ROW, _PANEL_INCHES, _DPI = 4, 4.0, 120
_OVER_A_PICTURE = 0.55
_INK, _MUTED = "#16202b", "#667482"


def write_heatmap(
    path: Path, slide: SlideTiles, scales: Mapping[str, Scale], background: WholeSlide | None
) -> None:
    """Write a PNG with a panel for each score, in the slide's orientation, axes in mm."""
    columns = min(_IN_A_ROW, len(scales))
    rows = math.ceil(len(scales) / columns)
    width, height = _extent(slide, background)
    # within limits: a strip of tissue would make a picture without height
    inches = _PANEL_INCHES * min(max(height / width, 0.4), 2.0)
    size = (columns * (_PANEL_INCHES + 0.9), rows * (inches + 0.9))
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, scale) in zip(panels, scales.items(), strict=False):
        _draw(figure, panel, slide, name, scale, background)
    for panel in panels[len(scales) :]:
        panel.set_axis_off()
    figure.suptitle(label_of(slide.name), color=_INK, fontsize=11)
    figure.savefig(path, metadata={"Software": None})


def _draw(
    figure: Figure, panel: Axes, slide: SlideTiles, name: str, scale: Scale, background: WholeSlide | None
) -> None:
    if background is not None:
        width, height = (length / 1e3 for length in background.size)
        panel.imshow(background.picture, extent=(0, width, height, 0))
    colours: Any = scale.rgb(slide.scores[name]) / 255
    panel.add_collection(
        PolyCollection(
            _squares(slide),
            facecolors=colours,
            linewidths=0,
            antialiaseds=False,
            alpha=1.0 if background is None else _OVER_A_PICTURE,
        )
    )
    panel.set_aspect("equal")
    panel.autoscale_view()
    if background is None:
        panel.set_facecolor("#d5dbe1")
        panel.margins(0.03)
        panel.yaxis.set_inverted(True)
    panel.tick_params(colors=_MUTED, labelsize=8, length=2)
    panel.spines[:].set_color("#e4e8ec")
    panel.set_xlabel("mm", color=_MUTED, fontsize=8)
    panel.set_title(label_of(_title(name)), color=_INK, fontsize=10)
    bar = figure.colorbar(
        ScalarMappable(scale.norm, scale.map),
        ax=panel,
        shrink=0.75,
        extend="max" if _is_share(name) else "both",
    )
    bar.ax.tick_params(colors=_MUTED, labelsize=8)
    bar.outline.set_visible(False)


def _squares(slide: SlideTiles) -> Any:
    """Corners [T, 4, 2] in mm."""
    around = slide.edge * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return (slide.corners[:, None] + around) / 1e3


def _extent(slide: SlideTiles, background: WholeSlide | None) -> tuple[float, float]:
    if background is not None:
        return background.size
    width, height = np.ptp(slide.corners, axis=0) + slide.edge
    return float(width), float(height)


def _is_share(name: str) -> bool:
    return name.startswith(ATTENTION)


def _title(name: str) -> str:
    if _is_share(name):
        return f"{name.replace('_', ' ', 1)}, 1 is an even share"
    return f"{name.removeprefix('score_')}: added by the tile (gradient × input)"
