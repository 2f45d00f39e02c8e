"""NIfTI files that are equal, byte for byte, when their voxels are."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np

from mediswarm.data.volumes import Volume

_LARGEST = 32767


def nifti_bytes(volume: Volume, spacing_mm: tuple[float, ...], origin_mm: tuple[float, ...]) -> bytes:
    """A compressed NIfTI file of a volume [x, y, z] along right, anterior, superior.

    Voxels are int16 with a scale, so that the largest error is 1/65534 of the largest
    magnitude. The header holds geometry and nothing else; no time stands in the file.
    """
    scale = float(np.abs(volume).max()) / _LARGEST or 1.0
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = origin_mm
    image = nibabel.Nifti1Image(np.round(volume / scale).astype(np.int16), affine)
    image.header.set_slope_inter(scale, 0.0)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)
