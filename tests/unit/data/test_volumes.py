"""D6, R15: volumes that cannot be used, and what is done to those that can."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mediswarm.data.volumes import content_digest, fit, normalise, read_geometry, read_volume
from mediswarm.errors import DataError

RNG = np.random.default_rng(0)


def saved(path: Path, voxels: np.ndarray, spacing: tuple[float, ...] = (1.0, 2.0, 3.0)) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    return path


def noise(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def test_voxels_and_geometry_are_read_as_written(tmp_path: Path) -> None:
    voxels = noise(5, 6, 7)
    path = saved(tmp_path / "Sub_1.nii.gz", voxels)
    np.testing.assert_array_equal(read_volume(path), voxels)
    geometry = read_geometry(path)
    assert (geometry.shape, geometry.spacing, geometry.orientation) == ((5, 6, 7), (1.0, 2.0, 3.0), "RAS")


def test_the_headers_scaling_is_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "Sub_1.nii.gz")
    assert read_volume(tmp_path / "Sub_1.nii.gz").ravel()[:3].tolist() == [10.0, 10.5, 11.0]


def test_a_fourth_axis_of_one_is_no_axis(tmp_path: Path) -> None:
    assert read_volume(saved(tmp_path / "Sub_1.nii.gz", noise(3, 4, 5, 1))).shape == (3, 4, 5)


def truncated(path: Path) -> None:
    saved(path, noise(32, 32, 8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def truncated_before_compression(path: Path) -> None:
    saved(path, noise(32, 32, 8))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-4000]))


def flipped_bits(path: Path) -> None:
    saved(path, noise(32, 32, 8))
    content = bytearray(path.read_bytes())
    content[2000:2400] = bytes(400)
    path.write_bytes(content)


def with_nan(path: Path) -> None:
    voxels = noise(4, 4, 4)
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    saved(path, voxels)


def of_colours(path: Path) -> None:
    saved(path, np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def claiming_too_much(path: Path) -> None:
    """The header of a damaged file: 32000 x 32000 x 32000 voxels in some hundred bytes."""
    saved(path, noise(3, 3, 3))
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[42:48] = np.array([32000] * 3, dtype="<i2").tobytes()
    path.write_bytes(gzip.compress(raw))


def with_nan_in_the_header(start: int) -> Callable[[Path], object]:
    def spoil(path: Path) -> None:
        raw = bytearray(gzip.decompress(saved(path, noise(3, 3, 3)).read_bytes()))
        raw[start : start + 4] = np.array(np.nan, dtype="<f4").tobytes()
        path.write_bytes(gzip.compress(raw))

    return spoil


def not_compressed(path: Path) -> None:
    path.write_bytes(gzip.decompress(saved(path, noise(3, 3, 3)).read_bytes()))


BROKEN: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "missing": (lambda path: None, "MS-D120", "it is missing", "at this path"),
    "dangling": (lambda path: path.symlink_to("gone"), "MS-D120", "link points nowhere", "of the link"),
    "linked-to-itself": (lambda path: path.symlink_to(path), "MS-D120", "points nowhere", "of the link"),
    "a-folder": (Path.mkdir, "MS-D120", "a folder, a pipe", "image itself"),
    "a-pipe": (os.mkfifo, "MS-D120", "a folder, a pipe", "image itself"),
    "empty": (Path.touch, "MS-D121", "not a NIfTI file", "copy"),
    "not-nifti": (lambda path: path.write_bytes(b"DICM" * 200), "MS-D121", "not a NIfTI file", "copy"),
    "not-nifti-inside": (
        lambda path: path.write_bytes(gzip.compress(b"text" * 200)),
        "MS-D121",
        "not a NIfTI file",
        "copy",
    ),
    "truncated": (truncated, "MS-D121", "ends early or is damaged", "copy"),
    "truncated-inside": (truncated_before_compression, "MS-D121", "voxels end early", "copy"),
    "claims-too-much": (claiming_too_much, "MS-D121", "there are 32000 x 32000 x 32000", "copy"),
    "not-compressed": (not_compressed, "MS-D121", "not compressed, though", "Compress the file"),
    "position-nan": (with_nan_in_the_header(280), "MS-D121", "position or spacing", "copy"),
    "spacing-nan": (with_nan_in_the_header(80), "MS-D121", "position or spacing", "copy"),
    "flipped-bits": (flipped_bits, "MS-D121", "ends early or is damaged", "copy"),
    "nan": (with_nan, "MS-D122", "3 of 64 voxels are NaN or infinite", "preprocessing"),
    "constant": (lambda path: saved(path, np.full((3, 3, 3), 5.0)), "MS-D123", "every voxel is 5", "Export"),
    "colours": (of_colours, "MS-D127", "colours", "grey values"),
    "complex": (
        lambda path: saved(path, noise(3, 3, 3).astype(np.complex64)),
        "MS-D127",
        "complex numbers",
        "magnitude",
    ),
    "flat": (lambda path: saved(path, noise(4, 4)), "MS-D124", "4 x 4 voxels, not three axes", "one three"),
    "4d": (lambda path: saved(path, noise(3, 3, 3, 2)), "MS-D124", "not three axes", "one three"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_volume_that_cannot_be_used_is_refused(tmp_path: Path, name: str) -> None:
    make, code, rule, repair = BROKEN[name]
    path = tmp_path / "Sub_1.nii.gz"
    make(path)
    with pytest.raises(DataError) as caught:
        read_volume(path)
    assert (caught.value.code, caught.value.file) == (code, str(path))
    assert rule in caught.value.message
    assert repair in caught.value.repair


SEEN_IN_VOXELS = ("truncated", "truncated-inside", "claims-too-much", "flipped-bits", "nan", "constant")


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in SEEN_IN_VOXELS])
def test_the_header_alone_is_refused_in_the_same_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / "Sub_1.nii.gz"
    BROKEN[name][0](path)
    with pytest.raises(DataError) as caught:
        read_geometry(path)
    with pytest.raises(DataError) as of_volume:
        read_volume(path)
    assert str(caught.value) == str(of_volume.value)


def test_a_compressed_file_is_refused_under_a_name_that_denies_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii.gz", noise(3, 3, 3)).rename(tmp_path / "Sub_1.nii")
    for read in (read_geometry, read_volume):
        with pytest.raises(DataError, match=r"MS-D121.*is compressed and its name(?s:.*)Add \.gz"):
            read(path)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    path = saved(tmp_path / "Sub_1.nii.gz", noise(3, 3, 3))
    monkeypatch.setattr(Path, "open", refuse)
    for read in (read_geometry, read_volume):
        with pytest.raises(DataError, match=r"MS-D120.*reading fails: Permission denied(?s:.*)permission"):
            read(path)


def test_normalised_volumes_have_mean_0_and_deviation_1_without_outliers() -> None:
    volume = noise(20, 20, 20)
    volume[0, 0, 0] = 1e6
    normal = normalise(volume)
    assert normal.dtype == np.float32
    assert (abs(normal.mean()), abs(normal.std() - 1)) < (1e-5, 1e-5)
    assert normal.max() < 4
    np.testing.assert_allclose(normalise(300 * volume + 40), normal, atol=1e-3)


def test_a_volume_with_few_different_voxels_keeps_them() -> None:
    volume = np.zeros((20, 20, 20), dtype=np.float32)
    volume[3, 3, 3] = 7
    normal = normalise(volume)
    assert np.isfinite(normal).all()
    assert normal.argmax() == volume.argmax()


@pytest.mark.parametrize("size", [(4, 4, 4), (7, 5, 9), (10, 3, 6), (1, 1, 1)])
def test_fitting_keeps_the_centre_and_pads_with_the_minimum(size: tuple[int, int, int]) -> None:
    volume = noise(6, 5, 7)
    fitted = fit(volume, size)
    assert fitted.shape == size
    back = fit(fitted, (6, 5, 7))
    inner = tuple(
        slice((have - min(have, want)) // 2, (have - min(have, want)) // 2 + min(have, want))
        for have, want in zip((6, 5, 7), size, strict=True)
    )
    if size == (7, 5, 9):
        np.testing.assert_array_equal(back, volume)
        assert fitted[-1].max() == volume.min()
    assert np.isin(fitted, volume).all()
    assert fitted.max() >= volume[inner].max()


def test_equal_content_has_an_equal_digest_whatever_the_file(tmp_path: Path) -> None:
    voxels = noise(4, 4, 4)
    one, other = saved(tmp_path / "a.nii.gz", voxels), saved(tmp_path / "b.nii", voxels)
    assert content_digest(read_volume(one)) == content_digest(read_volume(other))
    assert content_digest(voxels) != content_digest(voxels.reshape(2, 8, 4))
