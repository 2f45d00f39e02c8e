"""Feature files are read as they say, in STAMP's present form and in its older ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mediswarm.data.bags.feature_file import read_header
from mediswarm.data.bags.feature_writer import write_features
from mediswarm.data.bags.tile_reader import read_tiles
from mediswarm.errors import DataError

FEATURES = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float16)
GRID_PX = np.array([[x * 224, y * 224] for y in range(2) for x in range(3)], dtype=np.float32)
STAMP = {
    "extractor": "uni2-0123abcd",
    "unit": "um",
    "tile_size_um": 256.0,
    "tile_size_px": 224,
    "feat_type": "tile",
}


def write(path: Path, data: dict[str, Any], attributes: dict[str, Any], **storage: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in data.items():
            file.create_dataset(name, data=values, **storage)
        file.attrs.update(attributes)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "slide.h5"


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_tiles(path)
    assert str(path) in caught.value.describe()
    return caught.value


def test_a_file_as_stamp_writes_it(file: Path) -> None:
    write_features(file, FEATURES, GRID_PX / 224 * 256, extractor="uni2-0123abcd")
    header = read_header(file)
    assert (header.kind, header.extractor, header.extractor_hash) == ("tile", "uni2", "0123abcd")
    assert (header.tiles, header.features, header.tile_size_um, header.tile_size_px) == (6, 5, 256.0, 224)
    assert header.has_coords
    assert header.version == "2.4.0"
    features, coords = read_tiles(file)
    assert features.dtype == np.float16
    assert np.array_equal(features, FEATURES)
    assert np.array_equal(coords, GRID_PX / 224 * 256)


@pytest.mark.parametrize("said", ["conch1_5", "h-optimus-0", "chief-ctranspath"])
def test_an_extractor_without_a_hash_keeps_its_name(said: str, file: Path) -> None:
    write_features(file, FEATURES, extractor=said)
    assert (read_header(file).extractor, read_header(file).extractor_hash) == (said, "")


def test_a_size_named_tile_size_is_of_the_unit_said(file: Path) -> None:
    write(file, {"feats": FEATURES, "coords": GRID_PX}, {"extractor": "x", "tile_size": 300, "unit": b"um"})
    assert read_header(file).tile_size_um == 300.0
    assert np.array_equal(read_tiles(file)[1], GRID_PX)


@pytest.mark.parametrize("attributes", [{}, {"tile_size": 224}])
def test_old_coordinates_without_unit_become_micrometres(attributes: dict[str, Any], file: Path) -> None:
    write(file, {"feats": FEATURES, "coords": GRID_PX.astype(np.int64)}, {"extractor": "x"} | attributes)
    header = read_header(file)
    assert (header.tile_size_um, header.tile_size_px) == (256.0, 224)
    assert np.array_equal(read_tiles(file)[1], GRID_PX / 224 * 256)


def test_old_tiles_of_a_size_that_is_said_may_lie_apart(file: Path) -> None:
    write(file, {"feats": FEATURES, "coords": GRID_PX * 3 + 0.01}, {"extractor": "x", "tile_size": 224})
    assert read_header(file).tile_size_um == 256.0


def test_old_coordinates_that_lie_in_one_piece_become_micrometres(file: Path) -> None:
    write(file, {"feats": FEATURES, "coords": GRID_PX}, {"extractor": "x"})
    assert np.array_equal(read_tiles(file)[1], GRID_PX / 224 * 256)


def test_patch_embeddings_have_no_coordinates(file: Path) -> None:
    write(file, {"patch_embeddings": FEATURES}, {"extractor": "x"})
    assert not read_header(file).has_coords
    features, coords = read_tiles(file)
    assert np.array_equal(features, FEATURES)
    assert not coords.any()


@pytest.mark.parametrize("shape", [(5,), (1, 5)])
@pytest.mark.parametrize("kind", ["slide", "patient"])
def test_the_vector_of_a_slide_or_patient_is_a_bag_of_one(
    shape: tuple[int, ...], kind: Any, file: Path
) -> None:
    write_features(file, FEATURES[0].reshape(shape), extractor="titan", kind=kind)
    header = read_header(file)
    assert (header.kind, header.extractor, header.tiles, header.features) == (kind, "titan", 1, 5)
    assert np.array_equal(read_tiles(file)[0], FEATURES[:1])


@pytest.mark.parametrize(
    "storage",
    [{}, {"chunks": (2, 2)}, {"chunks": (3, 2), "compression": "gzip"}],
    ids=["plain", "chunks", "gzip"],
)
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f2", "<f8"])
def test_some_rows_are_the_rows_of_the_whole(storage: dict[str, Any], dtype: str, file: Path) -> None:
    write(file, {"feats": FEATURES.astype(dtype), "coords": GRID_PX}, STAMP, **storage)
    features, coords = read_tiles(file, np.array([1, 2, 5]))
    assert features.dtype == np.float16
    assert np.array_equal(features, FEATURES[[1, 2, 5]])
    assert np.array_equal(coords, GRID_PX[[1, 2, 5]])
    assert np.array_equal(read_tiles(file, np.array([4]))[0], FEATURES[[4]])
    assert np.array_equal(read_tiles(file, np.array([4]))[1], GRID_PX[[4]])
    assert np.array_equal(read_tiles(file, slice(2, 4))[0], FEATURES[2:4])
    assert np.array_equal(read_tiles(file)[0], FEATURES)
    assert (read_header(file).features_offset is not None) == (not storage and dtype == "<f2")


@pytest.mark.parametrize(
    ("code", "data", "attributes"),
    [
        ("MS-B002", {"coords": GRID_PX}, {}),
        ("MS-B002", {"feats": FEATURES, "patch_embeddings": FEATURES}, {}),
        ("MS-B003", {"feats": FEATURES[0]}, {}),
        ("MS-B003", {"feats": FEATURES[None]}, {}),
        ("MS-B003", {"feats": FEATURES[:0]}, {}),
        ("MS-B003", {"feats": 3.0}, {}),
        ("MS-B003", {"feats": (FEATURES * 100).astype(np.int16)}, {}),
        ("MS-B003", {"feats": FEATURES}, {"feat_type": "slide", "encoder": "titan"}),
        ("MS-B004", {"feats": FEATURES, "coords": GRID_PX[:4]}, {}),
        ("MS-B004", {"feats": FEATURES, "coords": GRID_PX[:, :1]}, {}),
        ("MS-B005", {"feats": FEATURES, "coords": GRID_PX}, {"unit": "px", "tile_size_um": 256.0}),
        ("MS-B005", {"feats": FEATURES, "coords": GRID_PX}, {"unit": "um"}),
        ("MS-B005", {"feats": FEATURES, "coords": GRID_PX * 2}, {}),
        ("MS-B005", {"feats": FEATURES, "coords": GRID_PX}, {"tile_size": 512}),
        ("MS-B005", {"feats": FEATURES, "coords": GRID_PX / 224 * 256}, {"tile_size": 224}),
        ("MS-B005", {"feats": FEATURES[:1], "coords": GRID_PX[:1]}, {}),
        ("MS-B005", {"feats": FEATURES, "coords": GRID_PX}, {"unit": "um", "tile_size_um": "large"}),
        ("MS-B005", {"feats": FEATURES}, {"tile_size_um": -1.0}),
        ("MS-B006", {"feats": FEATURES}, {"feat_type": "region"}),
        ("MS-B006", {"feats": FEATURES[0]}, {"encoder": "titan"}),
        ("MS-B008", {"feats": FEATURES.astype(np.float32) * 1e6}, {}),
    ],
)
def test_what_breaks_a_rule_is_refused(
    code: str, data: dict[str, Any], attributes: dict[str, Any], file: Path
) -> None:
    write(file, data, {"extractor": "x"} | attributes)
    assert refused(file).code == code


def test_features_that_are_a_group_are_refused(file: Path) -> None:
    with h5py.File(file, "w") as made:
        made.create_group("feats")
    assert refused(file).code == "MS-B002"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "truncated"),
        (lambda path: path.write_bytes(b"no features"), "no HDF5 file"),
        (lambda path: path.write_bytes(b""), "no HDF5 file"),
        (lambda path: (path.unlink(), path.mkdir()), "folder"),
    ],
)
def test_a_file_that_cannot_be_read(spoil: Any, message: str, file: Path) -> None:
    write_features(file, np.zeros((100, 50)), np.zeros((100, 2)), extractor="x")
    spoil(file)
    error = refused(file)
    assert error.code == "MS-B001"
    assert message in error.message


def test_a_damaged_chunk_is_found_when_it_is_read(file: Path) -> None:
    noise = np.random.default_rng(1).standard_normal((200, 50)).astype(np.float16)
    write(file, {"feats": noise}, STAMP, chunks=(50, 50), compression="gzip")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    file.write_bytes(content)
    assert refused(file).code == "MS-B001"


@pytest.mark.parametrize("storage", [{}, {"chunks": (2, 2)}])
def test_a_file_that_was_replaced_in_use_is_refused(storage: dict[str, Any], file: Path) -> None:
    write(file, {"feats": FEATURES}, STAMP, **storage)
    header = read_header(file)
    file.unlink()
    write(file, {"feats": np.zeros((60, 50), np.float16)}, STAMP, **storage)
    with pytest.raises(DataError) as caught:
        read_tiles(file, None, header)
    assert caught.value.code == "MS-B009"
