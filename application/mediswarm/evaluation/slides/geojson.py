"""Tiles as GeoJSON that QuPath opens: a square for each, with its scores as measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mediswarm.evaluation.slides.colours import Scale
from mediswarm.evaluation.slides.slide_tiles import SlideTiles


def write_geojson(
    path: Path, slide: SlideTiles, shown: str, scale: Scale, mpp: tuple[float, float] | None
) -> None:
    """Write a FeatureCollection with an object of QuPath's type `tile` for each tile.

    Args:
        path: the file.
        slide: the tiles.
        shown: the score in whose colours the tiles are.
        scale: of that score.
        mpp: µm in a pixel of the highest magnification, along x and y. Squares are in these pixels, as
            QuPath takes them; without it, in µm.
    """
    width, height = mpp or (1.0, 1.0)
    colours = scale.rgb(slide.scores[shown]).tolist()
    tiles = []
    for number, (x, y) in enumerate(slide.corners.tolist()):
        left, right = round(x / width, 2), round((x + slide.edge) / width, 2)
        top, bottom = round(y / height, 2), round((y + slide.edge) / height, 2)
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        measured = {name: float(f"{values[number]:.6g}") for name, values in slide.scores.items()}
        properties: dict[str, Any] = {
            "objectType": "tile",
            "name": f"{number}",
            "color": colours[number],
            "measurements": measured,
        }
        tiles.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": properties,
            }
        )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": tiles}), encoding="utf-8")
