"""The colours of tiles: blue and red about zero for what a tile adds, pale to dark for attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from typing_extensions import Self

from mediswarm.evaluation.predictions import Floats, Ints
from mediswarm.evaluation.slides.slide_tiles import SlideTiles
from mediswarm.evaluation.slides.tile_scores import ATTENTION

_MOST = 99.0  # per cent of the tiles within the scale: a single one would bleach all others


@dataclass(frozen=True)
class Scale:
    """From numbers to colours, the same for all slides of a patient."""

    map: str
    norm: Normalize

    @classmethod
    def of(cls, slides: Sequence[SlideTiles], name: str) -> Self:
        """The scale of one score."""
        values = np.concatenate([slide.scores[name] for slide in slides])
        if name.startswith(ATTENTION):
            return cls("viridis", Normalize(0.0, _reach(values)))
        reach = _reach(np.abs(values))
        return cls("RdBu_r", Normalize(-reach, reach))

    def rgb(self, values: Floats) -> Ints:
        """Colours [T, 3], 0 to 255."""
        colours: Ints = colormaps[self.map](self.norm(values), bytes=True)[:, :3].astype(np.int64)
        return colours


def _reach(sizes: Floats) -> float:
    return float(np.percentile(sizes, _MOST)) or float(sizes.max()) or 1.0
