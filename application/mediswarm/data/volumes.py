"""Reading, checking and normalising NIfTI volumes."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import math
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from mediswarm.errors import DataError

Volume = npt.NDArray[np.float32]
_Number = TypeVar("_Number", bound=np.generic)

PREPROCESSING = "canonical/percentile-0.5-99.5/z-score/int16/centre-crop-pad/2"
"""Tag of what is done to a file's voxels; part of the data contract, changed when that changes.

That is :func:`read_volume`, :func:`normalise`, :func:`fit` and the rounding of
:mod:`mediswarm.data.volume_codes`.
"""

_SPATIAL_AXES = 3
_NOT_NIFTI = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
)
_GZIP = b"\x1f\x8b"
_NIFTI_2 = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))


@dataclass(frozen=True)
class Geometry:
    """What a NIfTI header says.

    Size in voxels and spacing in mm along the canonical axes (those of
    :func:`read_volume`); orientation such as `LPS` by the file's own axes.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    orientation: str


def read_geometry(path: Path) -> Geometry:
    """Read the header only.

    Raises:
        DataError: MS-D120 missing, no regular file or not permitted, MS-D121 not a NIfTI
            file, MS-D124 not 3D, MS-D127 the voxels are not real numbers.
    """
    try:
        _require_regular_file(path)
        with path.open("rb") as file:
            compressed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if compressed else file
            return _geometry(path, _image(path, stream, compressed))
    except OSError as error:
        raise _closed(path, error) from error


def read_volume(path: Path) -> Volume:
    """Read all voxels [x, y, z], float32, with the header's scaling.

    The axes are turned and flipped to the canonical order, RAS+; oblique ones to the
    nearest. Nothing is interpolated.

    Raises:
        DataError: as :func:`read_geometry`, and MS-D121 corrupt or truncated,
            MS-D122 NaN or infinity, MS-D123 constant.
    """
    return decode_volume(path, read_content(path))


def read_content(path: Path) -> bytes:
    """The bytes of an image file. Raises DataError MS-D120."""
    try:
        _require_regular_file(path)
        return path.read_bytes()
    except OSError as error:
        raise _closed(path, error) from error


def decode_volume(path: Path, content: bytes) -> Volume:
    """:func:`read_volume` of a file whose bytes were read; `path` is named in errors."""
    compressed = content.startswith(_GZIP)
    try:
        # read whole: nibabel stops before the checksum at the end, and would not see damaged voxels
        raw = gzip.decompress(content) if compressed else content
    except (OSError, EOFError, zlib.error) as error:
        raise _corrupt(path, "the file ends early or is damaged") from error
    image = _image(path, io.BytesIO(raw), compressed)
    shape = _geometry(path, image).shape
    # before reading: memory for what a damaged header claims might not be there
    if image.dataobj.offset + math.prod(shape) * image.get_data_dtype().itemsize > len(raw):
        claimed = " x ".join(map(str, shape))
        raise _corrupt(path, f"the voxels end early; the header says there are {claimed}")
    try:
        voxels: Volume = np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))
    except (OSError, EOFError, ValueError) as error:
        raise _corrupt(path, "the voxels cannot be read") from error
    # checked before z-score, which would spread one NaN over the volume
    bad = int(voxels.size - np.count_nonzero(np.isfinite(voxels)))
    if bad:
        raise DataError("MS-D122", f"{bad} of {voxels.size} voxels are NaN or infinite", file=path)
    if voxels.min() == voxels.max():
        raise DataError("MS-D123", f"every voxel is {voxels.flat[0]:g}", file=path)
    own = voxels.reshape(voxels.shape[:_SPATIAL_AXES])
    return np.ascontiguousarray(nibabel.apply_orientation(own, _axes(image)))


def normalise(volume: Volume) -> Volume:
    """Clip to the 0.5 and 99.5 percentile, then to mean 0 and standard deviation 1.

    A volume that the clipping makes constant (fewer than 0.5 % of its voxels
    differ) is scaled without clipping, so that what differs is not lost.
    """
    low, high = np.percentile(volume, (0.5, 99.5))
    clipped = np.clip(volume, low, high) if high > low else volume
    centred = clipped - clipped.mean(dtype=np.float64)
    scaled: Volume = (centred / centred.std(dtype=np.float64)).astype(np.float32)
    return scaled


def fit(volume: npt.NDArray[_Number], size: tuple[int, int, int]) -> npt.NDArray[_Number]:
    """Crop and pad about the centre to `size` voxels [x, y, z]; padding has the volume's minimum.

    Where there is nothing to pad, a view of `volume`.
    """
    cropped = volume[
        tuple(
            slice(max(0, (have - want) // 2), max(0, (have - want) // 2) + want)
            for have, want in zip(volume.shape, size, strict=True)
        )
    ]
    missing = [want - have for have, want in zip(cropped.shape, size, strict=True)]
    if not any(missing):
        return cropped
    return np.pad(cropped, [(gap // 2, gap - gap // 2) for gap in missing], constant_values=volume.min())


def content_digest(volume: Volume) -> str:
    """SHA-256 of shape and voxels: equal for equal images, whatever the file's name or compression."""
    digest = hashlib.sha256(repr(volume.shape).encode())
    digest.update(np.ascontiguousarray(volume).tobytes())
    return digest.hexdigest()


def _require_regular_file(path: Path) -> None:
    # asked before opening, since opening a pipe waits until someone writes to it
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(
            "MS-D120",
            "this is a folder, a pipe or a device",
            repair="Put the image itself at this path.",
            file=path,
        )


def _image(path: Path, stream: io.BufferedIOBase, compressed: bool) -> Any:
    """The image of `stream`, its header read; `compressed` says what the file is, whatever its name."""
    try:
        kind = nibabel.Nifti2Image if stream.read(4) in _NIFTI_2 else nibabel.Nifti1Image
        stream.seek(0)
        image = kind.from_stream(stream)
    except _NOT_NIFTI as error:
        raise _corrupt(path, "this is not a NIfTI file") from error
    if compressed != (path.suffix.lower() == ".gz"):
        raise DataError(
            "MS-D121",
            "the file is compressed and its name does not end in .gz"
            if compressed
            else "the file is not compressed, though its name ends in .gz",
            repair="Add .gz to the name."
            if compressed
            else "Compress the file with gzip, under the same name.",
            file=path,
        )
    return image


def _geometry(path: Path, image: Any) -> Geometry:
    shape = tuple(int(size) for size in image.shape)
    while len(shape) > _SPATIAL_AXES and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != _SPATIAL_AXES or min(shape) < 1:
        raise DataError(
            "MS-D124", f"the image has {' x '.join(map(str, image.shape))} voxels, not three axes", file=path
        )
    kind = image.get_data_dtype()
    if kind.kind not in "iuf":
        what = "complex numbers" if kind.kind == "c" else "colours or other tuples of numbers"
        raise DataError("MS-D127", f"the voxels are {what}", file=path)
    spacing = tuple(round(float(step), 3) for step in image.header.get_zooms()[:_SPATIAL_AXES])
    if not (np.isfinite(image.affine).all() and np.isfinite(spacing).all()):
        raise _corrupt(path, "position or spacing in the header are no numbers")
    order = np.argsort(_axes(image)[:, 0])
    return Geometry(
        tuple(shape[axis] for axis in order),
        tuple(spacing[axis] for axis in order),
        "".join(code or "?" for code in nibabel.aff2axcodes(image.affine)),
    )


def _axes(image: Any) -> npt.NDArray[np.float64]:
    """For each of the file's axes, the canonical axis it lies along and whether it is flipped (-1)."""
    found: npt.NDArray[np.float64] = nibabel.io_orientation(image.affine)
    if np.isfinite(found).all():
        return found
    # a header that says nothing about an axis: the file's own order is all there is
    return np.array([[axis, 1] for axis in range(_SPATIAL_AXES)], dtype=np.float64)


def _corrupt(path: Path, what: str) -> DataError:
    return DataError("MS-D121", what, file=path)


def _closed(path: Path, error: OSError) -> DataError:
    if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
        return DataError(
            "MS-D120",
            "the link points nowhere",
            repair="Put the image in place of the link, or restore and mount the file it points to.",
            file=path,
        )
    if error.errno == errno.ENOENT:
        return DataError("MS-D120", "it is missing", repair="Put the image at this path.", file=path)
    return DataError("MS-D120", f"reading fails: {error.strerror or type(error).__name__}", file=path)
