"""From the files of one phase to one volume, refused where slices are missing, doubled or unequal."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediswarm.data.prepare.case_error import CaseError
from mediswarm.data.prepare.headers import Header
from mediswarm.data.prepare.input_files import unreadable
from mediswarm.data.prepare.phases import Phase

_Floats = npt.NDArray[np.float64]

_DIRECTION_TOLERANCE = 1e-3
"""Between the direction cosines of two slices; headers round them to four or six digits."""
_SPACING_TOLERANCE = 1e-3
"""Relative, of the pixel spacing between slices of one series."""
_STEP_TOLERANCE = 0.05
"""Relative, of the distance between neighbouring slices."""
_SAME_PLACE_MM = 0.01
_FEWEST_SLICES = 3
_RESCALING = ("RescaleSlope", "RescaleIntercept")
_DECIMAL = re.compile(rb" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \0]*")


@dataclass(frozen=True)
class Stack:
    """The slices of a phase in order along their normal, and how they lie in the patient (LPS, mm)."""

    files: tuple[Path, ...]
    digests: tuple[str, ...]
    """SHA-256 of each file."""
    size: tuple[int, int, int]
    """Columns, rows, slices."""
    spacing: tuple[float, float, float]
    direction: tuple[float, ...]
    """Unit vectors of the three axes as the columns of a 3 × 3 matrix, row by row."""
    origin: tuple[float, float, float]
    """Centre of the first voxel."""
    frame_of_reference: str
    copies: int
    """Files left out because they are identical, byte for byte, to another one."""


def stack_phase(phase: Phase, role: str) -> Stack:
    """Order the slices of a phase and check that they form one volume; no voxel is decoded.

    Raises:
        CaseError: MS-X010 a file is damaged, MS-X011 a kind that is not read, MS-X014 to MS-X017
            the slices do not form one volume, MS-X021 a slice does not say where it lies.
    """
    _require_readable_kind(phase.files, role)
    contents = {header.file: _digest(header) for header in phase.files}
    headers = list({contents[header.file]: header for header in reversed(phase.files)}.values())
    first = headers[0]
    _require_one_geometry(headers, role)
    across, down = (_unit(np.array(first.orientation[i : i + 3])) for i in (0, 3))
    normal = np.cross(across, down)
    places = np.array([header.position for header in headers])
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    headers, places, heights = [headers[i] for i in order], places[order], heights[order]
    step = _step(headers, heights, role)
    drift = places - places[0] - np.outer(heights - heights[0], normal)
    if np.abs(drift).max() > _STEP_TOLERANCE * min(first.pixel_spacing) + _SAME_PLACE_MM:
        raise CaseError(
            "MS-X014", f"the slices of {role} are shifted against each other", detail=first.file.parent
        )
    rows, columns = first.shape or (0, 0)
    return Stack(
        files=tuple(header.file for header in headers),
        digests=tuple(contents[header.file] for header in headers),
        size=(columns, rows, len(headers)),
        spacing=(first.pixel_spacing[1], first.pixel_spacing[0], step),
        direction=tuple(np.stack([across, down, normal], axis=1).ravel().tolist()),
        origin=(float(places[0][0]), float(places[0][1]), float(places[0][2])),
        frame_of_reference=first.frame_of_reference,
        copies=len(phase.files) - len(headers),
    )


def read_stack(stack: Stack) -> Any:
    """The voxels as a SimpleITK image of float32, with the rescaling of each file.

    Raises:
        CaseError: MS-X010 a file cannot be decoded or has another size than its header says.
    """
    import SimpleITK as sitk  # noqa: N813 - as everyone calls it

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    # cases are prepared side by side in processes, which need no threads beside them
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    columns, rows, count = stack.size
    voxels = np.empty((count, rows, columns), dtype=np.float32)
    for index, file in enumerate(stack.files):
        try:
            image = sitk.ReadImage(str(file), sitk.sitkFloat32, imageIO="GDCMImageIO")
            voxels[index] = sitk.GetArrayViewFromImage(image).reshape(rows, columns)
        except (RuntimeError, ValueError) as error:
            raise CaseError("MS-X010", "the voxels of a file cannot be decoded", detail=file) from error
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(stack.spacing)
    image.SetDirection(stack.direction)
    image.SetOrigin(stack.origin)
    return image


def _require_readable_kind(headers: Sequence[Header], role: str) -> None:
    for header in headers:
        if header.frames > 1:
            raise CaseError("MS-X011", f"{role} is a multi-frame file", detail=header.file)
        if header.samples != 1:
            raise CaseError("MS-X011", f"{role} is a colour image", detail=header.file)
        if (len(header.pixel_spacing), len(header.orientation), len(header.position)) != (2, 6, 3):
            raise CaseError(
                "MS-X021",
                f"a slice of {role} lacks position, orientation or pixel spacing",
                detail=header.file,
            )
        if min(header.pixel_spacing) <= 0 or not np.isfinite([*header.orientation, *header.position]).all():
            raise CaseError("MS-X021", f"a slice of {role} has an impossible geometry", detail=header.file)
    if len(headers) < _FEWEST_SLICES:
        raise CaseError("MS-X016", f"{role} has {len(headers)} slice(s)", detail=headers[0].file)


def _digest(header: Header) -> str:
    """SHA-256 of a file whose voxels are all there."""
    import pydicom

    try:
        content = header.file.read_bytes()
    except OSError as error:
        raise unreadable(error, header.file) from error
    try:
        dataset = pydicom.dcmread(
            io.BytesIO(content), specific_tags=["PixelData", "BitsAllocated", *_RESCALING]
        )
        pixels = dataset.PixelData
        compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
        bytes_each = int(dataset.BitsAllocated) // 8
        rescaling = {tag: dataset.get_item(tag) for tag in _RESCALING}
    except Exception as error:  # pydicom meets a damaged file with errors of any kind
        raise CaseError("MS-X010", "a file ends early, or holds no voxels", detail=header.file) from error
    rows, columns = header.shape or (0, 0)
    if not compressed and len(pixels) < rows * columns * bytes_each:
        raise CaseError("MS-X010", "the voxels of a file end early", detail=header.file)
    for tag, element in rescaling.items():
        if element is not None and not _is_factor(bytes(element.value or b""), zero=tag != "RescaleSlope"):
            raise CaseError(
                "MS-X010", f"{tag} of a file is no number that voxels can be rescaled by", detail=header.file
            )
    return hashlib.sha256(content).hexdigest()


def _is_factor(text: bytes, *, zero: bool) -> bool:
    """Is it a decimal string as DICOM has them? GDCM takes 2,5 for 2, and no number at all for 1."""
    if not _DECIMAL.fullmatch(text):
        return False
    value = float(text.strip(b" \0"))
    return (zero or value != 0) and abs(value) <= float(np.finfo(np.float32).max)


def _require_one_geometry(headers: Sequence[Header], role: str) -> None:
    first = headers[0]
    for header in headers:
        for what, same in (
            ("size", header.shape == first.shape),
            (
                "pixel spacing",
                np.allclose(header.pixel_spacing, first.pixel_spacing, rtol=_SPACING_TOLERANCE),
            ),
            ("orientation", np.allclose(header.orientation, first.orientation, atol=_DIRECTION_TOLERANCE)),
            ("frame of reference", header.frame_of_reference == first.frame_of_reference),
        ):
            if not same:
                raise CaseError("MS-X014", f"slices of {role} differ in {what}", detail=header.file)
    across, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    lengths = np.linalg.norm([across, down], axis=1)
    if abs(across @ down) > _DIRECTION_TOLERANCE or np.abs(lengths - 1).max() > _DIRECTION_TOLERANCE:
        raise CaseError("MS-X021", f"the orientation of {role} is not at right angles", detail=first.file)


def _step(headers: Sequence[Header], heights: _Floats, role: str) -> float:
    """The distance between neighbouring slices, mm, which has to be the same everywhere."""
    gaps = np.diff(heights)
    doubled = int(np.count_nonzero(gaps < _SAME_PLACE_MM))
    if doubled:
        at = int(np.argmin(gaps))
        raise CaseError(
            "MS-X015",
            f"{role} has {len(headers)} slices, and different ones at one place: {doubled}",
            detail=f"{headers[at].file} and {headers[at + 1].file}",
        )
    step = float(np.median(gaps))
    wrong = np.flatnonzero(np.abs(gaps - step) > _STEP_TOLERANCE * step)
    if len(wrong):
        beside = headers[int(wrong[0])].file
        times = gaps[wrong] / step
        if np.all(np.abs(times - np.round(times)) <= _STEP_TOLERANCE * times) and times.min() > 1:
            missing = int(np.round(times).sum()) - len(wrong)
            raise CaseError(
                "MS-X016", f"{role} lacks {missing} slice(s) between others", detail=f"after {beside}"
            )
        raise CaseError(
            "MS-X017",
            f"slices of {role} are {gaps.min():.2f} to {gaps.max():.2f} mm apart",
            detail=f"after {beside}",
        )
    return float((heights[-1] - heights[0]) / len(gaps))


def _unit(vector: _Floats) -> _Floats:
    unit: _Floats = vector / np.linalg.norm(vector)
    return unit
