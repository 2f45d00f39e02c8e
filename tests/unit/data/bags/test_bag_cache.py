"""Compressed feature files on the scratch disk: the same numbers, whatever happened to them."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mediswarm.data.bags import bag_cache
from mediswarm.data.bags.bag_cache import BagCache
from mediswarm.data.bags.bag_dataset import BagDataset
from mediswarm.data.bags.feature_file import read_header
from mediswarm.data.bags.tile_reader import read_tiles
from mediswarm.errors import DataError

ROWS = np.array([0, 7, 8, 39])


def write(file: Path, seed: int = 0, tiles: int = 40, compression: str | None = "gzip") -> Path:
    rng = np.random.default_rng(seed)
    with h5py.File(file, "w") as made:
        made.create_dataset(
            "feats", data=rng.standard_normal((tiles, 6)).astype(np.float16), compression=compression
        )
        # without unit: coordinates are changed when they are read
        made["coords"] = (224 * np.stack(np.divmod(np.arange(tiles), 7), axis=1)).astype(np.float32)
        made.attrs["extractor"] = "x"
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "slide.h5")


@pytest.fixture
def cache(tmp_path: Path) -> BagCache:
    return BagCache(tmp_path / "scratch" / "bags")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded whole."""
    files: list[Path] = []

    def noted(path: Path, rows: object, header: object) -> object:
        files.append(path)
        return read_tiles(path, rows, header)  # type: ignore[arg-type]

    monkeypatch.setattr(bag_cache, "read_tiles", noted)
    return files


def entry(cache: BagCache) -> Path:
    (only,) = cache.folder.iterdir()
    return only


def same(cache: BagCache, file: Path) -> None:
    header = read_header(file)
    for rows in (ROWS, None):
        for found, expected in zip(cache.read(file, header, rows), read_tiles(file, rows), strict=True):
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)


def test_a_file_is_decoded_once_for_all_processes(file: Path, cache: BagCache, decoded: list[Path]) -> None:
    same(cache, file)
    same(cache, file)
    same(BagCache(cache.folder), file)
    assert decoded == [file]
    assert "slide" not in entry(cache).name
    assert entry(cache).stat().st_mode & 0o077 == 0


def test_a_file_that_lies_in_one_piece_needs_no_entry(tmp_path: Path, cache: BagCache) -> None:
    same(cache, write(tmp_path / "plain.h5", compression=None))
    assert not cache.folder.exists()


def test_a_changed_file_is_decoded_anew(file: Path, cache: BagCache, decoded: list[Path]) -> None:
    same(cache, file)
    before = read_header(file)
    write(file, seed=1)
    with pytest.raises(DataError) as caught:
        cache.read(file, before, ROWS)
    assert caught.value.code == "MS-B009"
    same(cache, file)
    same(cache, file)
    assert decoded == [file] * 3
    assert entry(cache).exists()


def test_a_removed_file_is_an_error_though_it_was_cached(file: Path, cache: BagCache) -> None:
    same(cache, file)
    header = read_header(file)
    file.unlink()
    with pytest.raises(DataError) as caught:
        cache.read(file, header, ROWS)
    assert (caught.value.code, caught.value.file) == ("MS-B001", str(file))


def test_a_damaged_file_is_refused_and_never_stored(file: Path, cache: BagCache) -> None:
    write(file, tiles=2000)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        cache.read(file, read_header(file), ROWS)
    assert caught.value.code == "MS-B001"
    assert not cache.folder.exists()


def half(place: Path) -> None:
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])


def zeros_at_the_end(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:-50] + bytes(50))


def another_checksum(place: Path) -> None:
    content = bytearray(place.read_bytes())
    content[50] ^= 1
    place.write_bytes(content)


@pytest.mark.parametrize(
    "spoil", [half, zeros_at_the_end, another_checksum, lambda place: place.write_bytes(b""), Path.unlink]
)
def test_a_torn_entry_is_written_anew(
    file: Path, cache: BagCache, decoded: list[Path], spoil: Callable[[Path], None]
) -> None:
    same(cache, file)
    spoil(entry(cache))
    same(BagCache(cache.folder), file)
    same(BagCache(cache.folder), file)
    assert decoded == [file, file]


WRITER = """
import sys
from pathlib import Path
from mediswarm.data.bags.bag_cache import BagCache
from mediswarm.data.bags.feature_file import read_header
file = Path(sys.argv[1])
header = read_header(file)
print("ready", flush=True)
while True:
    cache = BagCache(Path(sys.argv[2]))
    cache.read(file, header)
    for entry in list(cache.folder.glob("*.bag")):
        entry.unlink(missing_ok=True)
"""


def test_processes_that_write_at_once_and_are_killed_leave_whole_entries(file: Path, cache: BagCache) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, file, cache.folder], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for _ in range(30):
        same(BagCache(cache.folder), file)
    for writer in writers:
        assert writer.poll() is None
        writer.kill()
        writer.communicate()
    same(BagCache(cache.folder), file)


Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil has it


def test_a_full_disk_costs_only_time(
    tmp_path: Path, cache: BagCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = [write(tmp_path / f"{seed}.h5", seed) for seed in range(4)]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 2000))
    with caplog.at_level(logging.WARNING):
        for file in files:
            same(cache, file)
    assert len(list(cache.folder.iterdir())) == 2
    (warned,) = [record.getMessage() for record in caplog.records]
    assert warned.startswith("the cache of features is full")


def test_bags_are_the_same_with_and_without_it(tmp_path: Path, file: Path, cache: BagCache) -> None:
    files = [[file, write(tmp_path / "plain.h5", 1, compression=None)]]
    headers = {path: read_header(path) for path in files[0]}
    without = BagDataset(["p"], files, [[1.0]], headers, drawn_tiles=20)
    cached = BagDataset(["p"], files, [[1.0]], headers, drawn_tiles=20, cache=cache)
    for one, other in ((without[0], cached[0]), (without.drawn(3)[2], cached.drawn(3)[2])):
        assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    assert len(list(cache.folder.iterdir())) == 1
