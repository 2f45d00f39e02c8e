"""The legend of the sites, outside the figures, so that it flows with the page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mediswarm.evaluation.plots.canvas import look_of, variable_of
from mediswarm.evaluation.run_facts import ALL_SITES

_SHAPES = {  # around the origin, as matplotlib draws these markers
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "s": "M-4-4h8v8h-8z",
    "^": "M0-4.5l4.5 8.5h-9z",
    "D": "M0-5l5 5l-5 5l-5-5z",
    "v": "M0 4.5l4.5-8.5h-9z",
    "P": "M-1.6-4.5h3.2v2.9h2.9v3.2h-2.9v2.9h-3.2v-2.9h-2.9v-3.2h2.9z",
    "X": "M-4.5-2.3l2.2-2.2 2.3 2.3 2.3-2.3 2.2 2.2-2.3 2.3 2.3 2.3-2.2 2.2-2.3-2.3-2.3 2.3-2.2-2.2 2.3-2.3z",
}


def site_legend(sites: Sequence[str], with_all: bool) -> Markup:
    """A list of the sites with their line and marker, and of all sites together where `with_all`."""
    entries = [_entry(site, *_drawing(index)) for index, site in enumerate(sites)]
    if with_all:
        entries.append(_entry(ALL_SITES, "--ink", 3.0, ""))
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(entries))


def _drawing(index: int) -> tuple[str, float, str]:
    look = look_of(index)
    return variable_of(look.colour), 1.8, _SHAPES[look.marker]


def _entry(name: str, variable: str, width: float, shape: str) -> Markup:
    return Markup(
        '<li><svg aria-hidden="true" viewBox="-13 -6 26 12" width="26" height="12">'
        '<g style="stroke:var({0});fill:var({0})"><path d="M-13 0h26" stroke-width="{1}"/>'
        '<path d="{2}" stroke="none"/></g></svg>{3}</li>'
    ).format(variable, width, shape, name)
