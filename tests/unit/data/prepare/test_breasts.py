"""Where enhancement lands: against a phantom that is known at every point in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mediswarm.data.prepare.breasts import Grid
from mediswarm.data.prepare.preparation import Preparation
from mediswarm.data.synthetic_dicom import BLOBS, Scan, enhancement, write_series
from mediswarm.data.volumes import read_geometry

GRID = Grid(spacing_mm=(1.4, 1.4, 3.0), size=(128, 128, 32))
AXIAL = Scan(size=(140, 88, 24), spacing=(2.5, 2.5, 3.0), centre=(0, 0, 3))
OBLIQUE = Scan(size=(150, 96, 30), spacing=(2.5, 2.4, 2.9), turn=(10, -7, 15))
SCANS = {
    "oblique": OBLIQUE,
    "sagittal, feet first": Scan(size=(30, 88, 140), spacing=(2.5, 2.5, 2.5), turn=(180, 90, 0)),
    "coronal": Scan(size=(140, 26, 88), spacing=(2.5, 2.5, 2.5), turn=(90, 0, 0)),
}


def positions_lps(image: nibabel.Nifti1Image) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
    return (index @ image.affine[:3, :3].T + image.affine[:3, 3]) * [-1, -1, 1]


@pytest.mark.parametrize("name", SCANS)
def test_enhancement_lies_where_the_phantom_has_it(
    name: str, make_site: Callable[..., Path], prepared: Callable[..., Preparation], tmp_path: Path
) -> None:
    done = prepared(make_site(1, [SCANS[name]]), grid=GRID)
    assert [one.message for one in done.failed if one.code != "MS-X022"] == []
    for side, blob in zip(("left", "right"), BLOBS, strict=True):
        file = tmp_path / "output" / "data_unilateral" / f"C0_{side}" / "Sub_1.nii.gz"
        assert read_geometry(file).shape == GRID.size
        assert read_geometry(file).orientation == "RAS"
        image = nibabel.load(file)
        voxels, places = image.get_fdata(), positions_lps(image)
        known = enhancement(places, BLOBS)
        # steps of 2.5 and a Gaussian of 6 mm: linear interpolation is off by 7 % at the peak
        np.testing.assert_allclose(voxels, known, atol=0.09 * blob.height)
        weights = np.where(voxels > 0.2 * blob.height, voxels, 0)[..., None]
        centroid = (weights * places).sum((0, 1, 2)) / weights.sum()
        np.testing.assert_allclose(centroid, blob.centre, atol=0.7)
        # the left breast is where x is positive in LPS
        assert (places[..., 0].mean() > 0) == (side == "left")


def test_phases_on_different_grids_are_subtracted_in_place(
    make_site: Callable[..., Path], prepared: Callable[..., Preparation], tmp_path: Path
) -> None:
    source = make_site(1, [AXIAL])
    for file in (source / "exam0" / "S1").iterdir():
        file.unlink()
    write_series(source / "exam0" / "S1", OBLIQUE, description="t1 dyn pre", number=1)
    prepared(source, grid=GRID)
    image = nibabel.load(tmp_path / "output" / "data_unilateral" / "C0_left" / "Sub_1.nii.gz")
    known = enhancement(positions_lps(image), BLOBS)
    # edges of the body are blurred differently; the enhancement is not
    near = known > 0.1 * BLOBS[0].height
    np.testing.assert_allclose(image.get_fdata()[near], known[near], atol=0.09 * BLOBS[0].height)
    page = (tmp_path / "output" / "qc" / "index.html").read_text()
    assert "Pre and Post_1 were acquired differently" in page


def test_the_grid_begins_in_front_of_the_breast(
    make_site: Callable[..., Path], prepared: Callable[..., Preparation], tmp_path: Path
) -> None:
    prepared(make_site(1, [AXIAL]), grid=GRID)
    image = nibabel.load(tmp_path / "output" / "data_unilateral" / "C0_left" / "Sub_1.nii.gz")
    front = float(positions_lps(image)[0, -1, 0, 1])
    # the phantom's breast ends at y = -95 in LPS; seven millimetres of air are kept
    assert front == pytest.approx(-95 - GRID.anterior_margin_mm, abs=4)


def test_outside_of_the_field_of_view_nothing_enhances(
    make_site: Callable[..., Path], prepared: Callable[..., Preparation], tmp_path: Path
) -> None:
    low = Scan(size=(140, 88, 16), spacing=(2.5, 2.5, 2.5))
    prepared(make_site(1, [low]), grid=GRID)
    voxels = nibabel.load(tmp_path / "output" / "data_unilateral" / "C0_left" / "Sub_1.nii.gz").get_fdata()
    assert not voxels[..., :8].any()
    assert voxels[..., 16].any()
    assert "was acquired in both phases" in (tmp_path / "output" / "qc" / "index.html").read_text()
