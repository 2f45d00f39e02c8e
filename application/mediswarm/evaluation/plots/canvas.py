"""From a matplotlib figure to SVG inside a page.

The page decides the colours: figures are drawn in stand-in colours, each of
which becomes a CSS variable. So one figure serves light, dark and print. Text
stays text, in the page's font, and can be selected and read aloud.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_CSS_PIXELS_PER_INCH = 72  # SVG units of matplotlib; shown one to one
INK, MUTED, GRID, PAPER, ACCENT, PLAIN = (f"#0a0b{index:02x}" for index in range(6))
_SERIES = tuple(f"#0a0c{index:02x}" for index in range(7))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    ACCENT: "--accent",
    PLAIN: "--plain",
    **{colour: f"--series-{index + 1}" for index, colour in enumerate(_SERIES)},
}


@dataclass(frozen=True)
class Look:
    """How one site is drawn everywhere: told apart by marker as well as by colour."""

    colour: str
    marker: str


def look_of(index: int) -> Look:
    """The look of the site at `index`; after seven colours they come again, with another marker."""
    turn = index // len(_SERIES)
    return Look(_SERIES[index % len(_SERIES)], _MARKERS[(index + turn) % len(_MARKERS)])


def variable_of(colour: str) -> str:
    """The page's CSS variable behind a stand-in colour."""
    return _VARIABLES[colour]


def label_of(name: str) -> str:
    """A name as it stands; matplotlib would read dollar signs as mathematics."""
    return name.replace("$", r"\$")


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of `width` by `height` CSS pixels, and its axes with the house's look."""
    figure = Figure(
        figsize=(width / _CSS_PIXELS_PER_INCH, height / _CSS_PIXELS_PER_INCH), layout="constrained"
    )
    axes = figure.add_subplot()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set(visible=True, color=MUTED, linewidth=0.8)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=11, length=0, pad=5)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def to_svg(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as an ``<svg>`` element.

    Args:
        figure: drawn in the stand-in colours of this module.
        name: unique in the page; prefixes the element's ids.
        alt: what the figure shows, for those who do not see it.
    """
    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "DejaVu Sans"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    view = re.search(r'viewBox="([^"]+)"', text)
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r"\s*\n\s*", "\n", body)
    box = view[1] if view else "0 0 1 1"
    return Markup(  # noqa: S704 - made by matplotlib, which escapes the names drawn; the alt text is escaped
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="{box}" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">{body}</svg>'
    )
