"""Whole-slide images by OpenSlide: their picture, and how large their pixels are. OpenSlide is optional."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mediswarm.errors import DataError, HostError

_MOST_PIXELS = 2000
_MPP = ("openslide.mpp-x", "openslide.mpp-y")


@dataclass(frozen=True)
class WholeSlide:
    """A picture [h, w, 3] of `size` µm (width, height), and µm in a pixel of the highest magnification."""

    picture: np.ndarray[Any, np.dtype[np.uint8]]
    size: tuple[float, float]
    mpp: tuple[float, float]


class SlideFolder:
    """A folder of whole-slide images.

    Args:
        folder: holds the images, named as the feature files.
        mpp: µm in a pixel, for images that do not say it.

    Raises:
        HostError: MS-E011 when OpenSlide is not installed.
    """

    def __init__(self, folder: Path, mpp: float | None) -> None:
        self.folder, self.mpp = folder, mpp
        try:
            self._library = importlib.import_module("openslide")
        except (ImportError, OSError) as error:
            raise HostError("MS-E011", "whole-slide images cannot be read") from error

    def read(self, name: str) -> WholeSlide:
        """The slide of the feature file of that name, without its ending.

        Raises:
            DataError: MS-E012 no such image, several, or one that cannot be read; MS-E013 no pixel size.
        """
        place = self.folder / name
        files = [file for file in place.parent.glob("*") if file.stem == place.name and file.is_file()]
        if len(files) != 1:
            found = ", ".join(sorted(file.name for file in files)) or "no file"
            raise DataError("MS-E012", f"of slide {name} there is {found}", file=place.parent)
        try:
            with self._library.OpenSlide(files[0]) as slide:
                width, height = slide.dimensions
                mpp = self._mpp(dict(slide.properties), files[0])
                thumbnail = slide.get_thumbnail((_MOST_PIXELS, _MOST_PIXELS)).convert("RGB")
        except (OSError, self._library.OpenSlideError) as error:
            raise DataError("MS-E012", "the image cannot be read", file=files[0]) from error
        return WholeSlide(np.asarray(thumbnail), (width * mpp[0], height * mpp[1]), mpp)

    def _mpp(self, properties: dict[str, str], file: Path) -> tuple[float, float]:
        try:
            x, y = (float(properties[key]) for key in _MPP)
        except (KeyError, ValueError):
            x = y = self.mpp or 0.0
        if not (0 < x < math.inf and 0 < y < math.inf):
            raise DataError("MS-E013", "the image does not say µm in a pixel", file=file)
        return x, y
