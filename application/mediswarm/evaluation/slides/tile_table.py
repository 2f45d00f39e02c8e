"""The tiles of a patient that stand out, by where they lie."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mediswarm.evaluation.slides.slide_tiles import SlideTiles

_AT_EACH_END = 10


def write_tile_table(path: Path, slides: Sequence[SlideTiles]) -> None:
    """Write the ten highest and the ten lowest tiles of all the patient's slides, for each score.

    Columns: the score's name, `end` (top or bottom), the rank from the end, the slide, the upper left corner
    and the edge in µm, and the score. Of fewer than twenty tiles, each stands at one end.
    """
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["score", "end", "rank", "slide", "x_um", "y_um", "tile_size_um", "value"])
        for name in slides[0].scores:
            writer.writerows(_rows(slides, name))


def _rows(slides: Sequence[SlideTiles], name: str) -> Iterator[list[str]]:
    values = np.concatenate([slide.scores[name] for slide in slides])
    where = [(slide, row) for slide in slides for row in range(len(slide.corners))]
    falling = np.argsort(-values, kind="stable").tolist()
    top = falling[: min(_AT_EACH_END, (len(falling) + 1) // 2)]
    bottom = falling[::-1][: min(_AT_EACH_END, len(falling) // 2)]
    for end, chosen in (("top", top), ("bottom", bottom)):
        for rank, index in enumerate(chosen, start=1):
            slide, row = where[index]
            x, y = slide.corners[row]
            numbers = [f"{x:.7g}", f"{y:.7g}", f"{slide.edge:g}", f"{values[index]:.6g}"]
            yield [name, end, str(rank), slide.name, *numbers]
