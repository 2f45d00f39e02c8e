"""Decoded volumes on the scratch disk: the same voxels, whatever happened to file, disk and process."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from mediswarm.data import volume_cache
from mediswarm.data.volume_cache import VolumeCache
from mediswarm.data.volume_codes import CodedVolume
from mediswarm.data.volume_dataset import VolumeDataset
from mediswarm.errors import DataError

SHAPE, SIZE = (13, 11, 7), (9, 12, 7)
LAS = np.diag([-1.0, 2.0, 3.0, 1.0])


def write(path: Path, seed: int = 0, affine: np.ndarray = LAS) -> Path:
    voxels = np.random.default_rng(seed).gamma(1.0, 50.0, SHAPE).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(tmp_path / "Sub_1.nii.gz")


@pytest.fixture
def cache(tmp_path: Path) -> VolumeCache:
    return VolumeCache(tmp_path / "scratch" / "volumes")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded."""
    files: list[Path] = []
    decode = volume_cache.decode_volume

    def noted(path: Path, content: bytes) -> np.ndarray:
        files.append(path)
        return decode(path, content)

    monkeypatch.setattr(volume_cache, "decode_volume", noted)
    return files


def case(image: Path, cache: VolumeCache | None = None, size: tuple[int, int, int] = SIZE) -> np.ndarray:
    return VolumeDataset([[image]], torch.tensor([0]), size, cache)[0][0].numpy()[0]


def entry(cache: VolumeCache) -> Path:
    (only,) = cache.folder.iterdir()
    return only


def reference(image: Path) -> tuple[np.ndarray, float]:
    """The same by the plainest means, one line for each step, and the step of the rounding."""
    voxels = nibabel.as_closest_canonical(nibabel.load(image)).get_fdata(dtype=np.float32)
    voxels = np.ascontiguousarray(voxels)
    voxels = np.clip(voxels, *np.percentile(voxels, (0.5, 99.5)))
    voxels = voxels - voxels.mean(dtype=np.float64)
    voxels = (voxels / voxels.std(dtype=np.float64)).astype(np.float32)
    cropped = np.pad(voxels[2:11], ((0, 0), (0, 1), (0, 0)), constant_values=voxels.min())
    return cropped, (float(voxels.max()) - float(voxels.min())) / 65535


def test_every_voxel_is_that_of_the_reference_rounded_in_every_epoch(image: Path, cache: VolumeCache) -> None:
    exact, step = reference(image)
    rounded = np.rint((exact.astype(np.float64) - exact.min()) / step)
    low = float(exact.min())
    expected = ((rounded - 2**15).astype(np.float32) * np.float32(step)) + np.float32(low + 2**15 * step)
    first, second, another = case(image, cache), case(image, cache), case(image, VolumeCache(cache.folder))
    for found in (first, second, another, case(image)):
        np.testing.assert_array_equal(found, expected)
    assert abs(first - exact).max() <= 0.51 * step
    assert abs(first - exact).max() < 0.1 * abs(exact.astype(np.float16) - exact).max()


def test_axes_are_canonical_whatever_their_order_in_the_file(tmp_path: Path, image: Path) -> None:
    turned = nibabel.as_closest_canonical(nibabel.load(image)).get_fdata()
    affine = np.array([[0, 0, 1.0, 0], [-2.0, 0, 0, 0], [0, -3.0, 0, 0], [0, 0, 0, 1]])  # PIR
    stored = turned.transpose(1, 2, 0)[::-1, ::-1].astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "other.nii.gz")
    np.testing.assert_array_equal(case(tmp_path / "other.nii.gz"), case(image))


def test_a_file_is_decoded_once_for_all_processes_and_sizes(
    image: Path, cache: VolumeCache, decoded: list[Path]
) -> None:
    for size in (SIZE, SHAPE, (4, 4, 4)):
        case(image, cache, size)
        case(image, VolumeCache(cache.folder), size)
    assert decoded == [image]
    assert "Sub_1" not in entry(cache).name
    assert entry(cache).stat().st_size < 2 * np.prod(SHAPE) + 200
    assert entry(cache).stat().st_mode & 0o077 == 0


def test_a_changed_file_is_decoded_anew_and_a_touched_one_is_not(
    image: Path, cache: VolumeCache, decoded: list[Path]
) -> None:
    before = case(image, cache)
    os.utime(image, ns=(1, 1))
    np.testing.assert_array_equal(case(image, cache), before)
    image.write_bytes(image.read_bytes())
    np.testing.assert_array_equal(case(image, cache), before)
    assert len(decoded) == 1
    write(image, seed=1)
    os.utime(image, ns=(1, 1))
    after = case(image, cache)
    assert (after != before).any()
    np.testing.assert_array_equal(after, case(image))
    assert len(decoded) == 2
    assert len(list(cache.folder.iterdir())) == 1


def test_a_removed_file_is_an_error_though_it_was_cached(image: Path, cache: VolumeCache) -> None:
    case(image, cache)
    image.unlink()
    with pytest.raises(DataError) as caught:
        case(image, cache)
    assert (caught.value.code, caught.value.file) == ("MS-D120", str(image))


@pytest.mark.parametrize(("voxel", "code"), [(np.nan, "MS-D122"), (None, "MS-D121")])
def test_a_volume_that_cannot_be_used_is_refused_each_time_and_never_stored(
    image: Path, cache: VolumeCache, voxel: float | None, code: str
) -> None:
    if voxel is None:
        image.write_bytes(image.read_bytes()[:-40])
    else:
        nibabel.save(nibabel.Nifti1Image(np.array([[[voxel, 1.0, 2.0]]]), np.eye(4)), image)
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            case(image, cache)
        assert (caught.value.code, caught.value.file) == (code, str(image))
    assert not cache.folder.exists()


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def zeros_at_the_end(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-200] + bytes(200))


def another_step(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[24] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "spoil", [half, zeros_at_the_end, another_step, lambda file: file.write_bytes(b""), lambda f: f.unlink()]
)
def test_a_torn_entry_is_written_anew(
    image: Path, cache: VolumeCache, decoded: list[Path], spoil: object
) -> None:
    before = case(image, cache)
    spoil(entry(cache))  # type: ignore[operator]
    again = VolumeCache(cache.folder)
    np.testing.assert_array_equal(case(image, again), before)
    np.testing.assert_array_equal(case(image, VolumeCache(cache.folder)), before)
    assert decoded == [image, image]


WRITER = """
import sys
from pathlib import Path
from mediswarm.data.volume_cache import VolumeCache
files = sorted(Path(sys.argv[1]).glob("*.nii.gz"))
print("ready", flush=True)
while True:
    for file in files:
        cache = VolumeCache(Path(sys.argv[2]))
        cache.volume(file)
        for entry in list(cache.folder.glob("*.volume")):
            entry.unlink(missing_ok=True)
"""


def test_processes_that_write_at_once_and_are_killed_leave_whole_entries(tmp_path: Path) -> None:
    images = [write(tmp_path / f"{seed}.nii.gz", seed) for seed in range(3)]
    folder = tmp_path / "volumes"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, folder], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    expected = [case(image) for image in images]
    for _ in range(30):
        for image, voxels in zip(images, expected, strict=True):
            np.testing.assert_array_equal(case(image, VolumeCache(folder)), voxels)
    for writer in writers:
        assert writer.poll() is None
        writer.kill()
        writer.communicate()
    cache = VolumeCache(folder)
    for image, voxels in zip(images, expected, strict=True):
        np.testing.assert_array_equal(case(image, cache), voxels)


Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil has it


def test_it_stops_growing_when_as_much_as_it_holds_must_remain_free(
    tmp_path: Path, cache: VolumeCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = [write(tmp_path / f"{seed}.nii.gz", seed) for seed in range(4)]
    one_entry = 2 * int(np.prod(SHAPE)) + 200
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 2 * one_entry))
    with caplog.at_level(logging.WARNING):
        for image in images:
            np.testing.assert_array_equal(case(image, cache), case(image))
    assert len(list(cache.folder.iterdir())) == 2
    (warned,) = [record.getMessage() for record in caplog.records]
    assert warned.startswith("the cache of volumes is full: it holds 0.0 GiB, and as much must remain free;")


def test_entries_that_nobody_uses_and_unfinished_ones_make_room(
    tmp_path: Path, cache: VolumeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, added = (write(tmp_path / f"{seed}.nii.gz", seed) for seed in range(3))
    case(old, cache)
    unused = entry(cache)
    case(new, cache)
    unfinished = cache.folder / "killed.unfinished"
    unfinished.touch()
    for file, days in ((unused, 40), (unfinished, 1)):
        os.utime(file, times=(0, file.stat().st_mtime - days * 86400))
    one_entry = 2 * int(np.prod(SHAPE)) + 200
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 2 * one_entry))
    case(added, VolumeCache(cache.folder))
    assert not unused.exists()
    assert not unfinished.exists()
    assert len(list(cache.folder.iterdir())) == 2


def test_a_scratch_that_cannot_be_written_to_costs_only_time(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = VolumeCache(tmp_path / "file" / "volumes")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(case(image, cache), case(image))
        case(image, cache)
    assert len(caplog.records) == 1
    assert "cannot be written to (Not a directory)" in caplog.text


def test_a_read_only_data_directory_is_enough(image: Path, tmp_path: Path, cache: VolumeCache) -> None:
    image.chmod(0o400)
    before = sorted(tmp_path.iterdir())
    case(image, cache)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "scratch"])


def test_what_is_read_may_be_written_to_without_harm_to_the_entry(image: Path, cache: VolumeCache) -> None:
    dataset = VolumeDataset([[image, image]], torch.tensor([1]), SHAPE, cache)
    first, label = dataset[0]
    assert (first.shape, first.dtype, int(label)) == ((2, *SHAPE), torch.float32, 1)
    kept = first.clone()
    first.zero_()
    torch.testing.assert_close(dataset[0][0], kept, rtol=0, atol=0)


def test_codes_use_the_whole_range() -> None:
    coded = CodedVolume.of(np.array([[[-1.0, 0.0, 3.0]]], dtype=np.float32))
    assert (coded.codes.min(), coded.codes.max()) == (-(2**15), 2**15 - 1)
    out = np.empty((1, 1, 3), dtype=np.float32)
    coded.into(out)
    np.testing.assert_allclose(out, [[[-1.0, 0.0, 3.0]]], atol=4e-5)
