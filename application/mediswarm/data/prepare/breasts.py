"""Two phases brought to one canonical grid, subtracted, and cut into a left and a right breast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mediswarm.data.prepare.case_error import CaseError
from mediswarm.data.prepare.labels import SIDES
from mediswarm.data.volumes import Volume
from mediswarm.spec.strict import Strict

_Floats = npt.NDArray[np.float64]

PREPARATION = "odelia-prepare/1"
"""Names what :func:`cut_breasts` does; part of the preprocessing tag, changed when it changes."""

_BODY_SHARE = 0.005
"""Share of a coronal plane's voxels that are bright where the plane meets the body; less is noise."""
_COARSE_MM = 2.8
_FEWEST_COVERED = 0.5


class Grid(Strict):
    """Where the voxels of a prepared breast lie: right, anterior, superior (RAS)."""

    spacing_mm: tuple[float, float, float] = (0.7, 0.7, 3.0)
    size: tuple[int, int, int] = (256, 256, 32)
    anterior_margin_mm: float = 7.0
    """Air kept in front of the most anterior point of the body."""

    @property
    def tag(self) -> str:
        """The preprocessing tag of volumes on this grid."""
        spacing, size = (
            "x".join(f"{value:g}" for value in values) for values in (self.spacing_mm, self.size)
        )
        return f"{PREPARATION}/post_1-pre/RAS/{spacing}mm/{size}/anterior-{self.anterior_margin_mm:g}mm"


@dataclass(frozen=True)
class Breast:
    """Voxels [x, y, z] of one breast, in RAS order; zero where a phase was not acquired."""

    subtraction: Volume
    post: Volume
    origin_mm: tuple[float, float, float]
    """Centre of the first voxel, RAS."""
    covered: float
    """Share of the voxels that both phases cover."""


def cut_breasts(pre: Any, post: Any, grid: Grid) -> dict[str, Breast]:
    """The breasts of one examination, by side.

    Both phases are interpolated linearly, once, on one grid along the patient's axes; oblique
    and sagittal acquisitions are so turned. Left and right are divided at the middle of
    Post_1 in the left-right direction. The grid begins `anterior_margin_mm` in front of the
    body and is centred on Post_1 from feet to head.

    Args:
        pre: SimpleITK image before contrast.
        post: SimpleITK image of the first phase after contrast.
        grid: of one breast.

    Raises:
        CaseError: MS-X018 the phases do not cover one region, MS-X019 nothing is left of the
            subtraction, or of the body.
    """
    low, high = _extent(post)
    middle = (low + high) / 2
    width, depth, height = grid.size
    steps = np.array(grid.spacing_mm)
    origin = np.array([0.0, 0.0, middle[2] - (height - 1) / 2 * steps[2]])
    origin[0] = middle[0] - (width - 0.5) * steps[0]
    front = _body_front(post, origin, grid) + grid.anterior_margin_mm
    origin[1] = front - (depth - 1) * steps[1]
    size = (2 * width, depth, height)
    before, after = (_resampled(image, origin, steps, size, outside=float("nan")) for image in (pre, post))
    covered = np.isfinite(before) & np.isfinite(after)
    if not covered.any() or covered.mean() < _FEWEST_COVERED * np.isfinite(after).mean():
        raise CaseError("MS-X018", "Pre covers less than half of what Post_1 covers")
    # outside of the field of view nothing is known to enhance
    difference = np.where(covered, after - before, 0).astype(np.float32)
    if not difference.any():
        raise CaseError("MS-X019", "Pre and Post_1 hold the same voxels")
    breasts = {}
    for index, side in enumerate(SIDES):
        half = np.s_[index * width : (index + 1) * width]
        if np.ptp(difference[half]) == 0:
            raise CaseError("MS-X019", f"nothing was acquired of the {side} breast, or nothing changed there")
        start = origin + np.array([index * width * steps[0], 0, 0])
        breasts[side] = Breast(
            difference[half],
            np.nan_to_num(after[half]),
            (float(start[0]), float(start[1]), float(start[2])),
            float(covered[half].mean()),
        )
    return breasts


def _extent(image: Any) -> tuple[_Floats, _Floats]:
    """Lowest and highest voxel centre of an image, RAS, mm."""
    ends = [(0, size - 1) for size in image.GetSize()]
    corners = np.array(
        [image.TransformIndexToPhysicalPoint((x, y, z)) for x in ends[0] for y in ends[1] for z in ends[2]]
    ) * [-1, -1, 1]
    return corners.min(axis=0), corners.max(axis=0)


def _body_front(post: Any, origin: _Floats, grid: Grid) -> float:
    """Where the body begins, seen from the front: anterior coordinate, mm."""
    import SimpleITK as sitk  # noqa: N813

    low, high = _extent(post)
    steps = np.array([_COARSE_MM, grid.spacing_mm[1], grid.spacing_mm[2]])
    width = 2 * grid.size[0] * grid.spacing_mm[0]
    size = (
        max(1, round(width / _COARSE_MM)),
        max(1, int((high[1] - low[1]) / steps[1]) + 1),
        grid.size[2],
    )
    start = np.array([origin[0], high[1] - (size[1] - 1) * steps[1], origin[2]])
    coarse = _resampled(post, start, steps, size, outside=0.0)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(coarse))
    planes = np.flatnonzero((coarse > otsu.GetThreshold()).mean(axis=(0, 2)) > _BODY_SHARE)
    if not len(planes):
        raise CaseError("MS-X019", "no body is seen in Post_1")
    return float(start[1] + planes[-1] * steps[1])


def _resampled(
    image: Any, origin: _Floats, steps: _Floats, size: tuple[int, int, int], outside: float
) -> Volume:
    """Voxels [x, y, z] of an image on a grid along right, anterior, superior."""
    import SimpleITK as sitk  # noqa: N813

    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetDefaultPixelValue(outside)
    resample.SetSize(size)
    resample.SetOutputSpacing(steps.tolist())
    resample.SetOutputDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    resample.SetOutputOrigin((origin * [-1, -1, 1]).tolist())
    voxels: Volume = sitk.GetArrayFromImage(resample.Execute(image)).transpose(2, 1, 0)
    return voxels
