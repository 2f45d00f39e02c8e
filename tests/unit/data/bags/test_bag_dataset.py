"""Bags are whole and always the same for judgement, and drawn by seed, epoch and patient for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mediswarm.data.bags.bag_dataset import BagDataset, DrawnBags, collate_bags
from mediswarm.data.bags.feature_file import read_header
from mediswarm.data.bags.feature_writer import write_features
from mediswarm.data.bags.tile_reader import read_tiles
from mediswarm.errors import DataError


def several_slides(bags: BagDataset) -> int:
    return next(index for index in range(len(bags)) if len(bags.files[index]) == 3)


def test_a_bag_is_all_tiles_of_all_slides(bags: BagDataset) -> None:
    index = several_slides(bags)
    bag, target = bags[index]
    features, coords = (
        np.concatenate(parts) for parts in zip(*(read_tiles(file) for file in bags.files[index]), strict=True)
    )
    assert np.array_equal(bag["features"].numpy(), features)
    assert np.array_equal(bag["coords"].numpy(), coords)
    assert bag["mask"].all()
    assert bag["mask"].shape == (len(features),)
    assert (bag["features"].dtype, bag["coords"].dtype) == (torch.float16, torch.float32)
    assert target.tolist() == [index]
    assert [count for _, count in bags.tiles(index)] == [
        len(read_tiles(file)[0]) for file in bags.files[index]
    ]
    again, _ = bags[index]
    assert torch.equal(again["features"], bag["features"])


def test_drawn_tiles_are_tiles_of_the_bag_each_once(bags: BagDataset) -> None:
    index = several_slides(bags)
    whole, _ = bags[index]
    drawn, target = DrawnBags(bags, 3, 16)[index]
    assert drawn["features"].shape == (16, 16)
    assert drawn["mask"].all()
    assert target.tolist() == [index]
    places = [(whole["features"] == row).all(dim=1).nonzero().item() for row in drawn["features"]]
    assert len(set(places)) == 16
    assert torch.equal(whole["coords"][places], drawn["coords"])
    # of more than one slide
    first = bags.tiles(index)[0][1]
    assert min(places) < first <= max(places)


def test_what_is_drawn_follows_from_seed_epoch_and_patient(bags: BagDataset) -> None:
    def drawn(seed: int, item: int, of: BagDataset = bags) -> torch.Tensor:
        return DrawnBags(of, seed, 16)[item][0]["features"]

    count = len(bags)
    assert torch.equal(drawn(3, 5), drawn(3, 5))
    assert not torch.equal(drawn(3, 5), drawn(4, 5))
    assert not torch.equal(drawn(3, 5), drawn(3, 5 + count))
    # another place in the split, the same patient
    turned = BagDataset(bags.ids[::-1], bags.files[::-1], bags.targets.tolist()[::-1], bags.headers)
    assert torch.equal(drawn(3, 5), drawn(3, count - 6, turned))


def test_every_tile_is_drawn_in_the_end(bags: BagDataset) -> None:
    index = several_slides(bags)
    tiles = sum(count for _, count in bags.tiles(index))
    drawn = DrawnBags(bags, 0, tiles // 2)
    seen = torch.cat([drawn[epoch * len(bags) + index][0]["features"] for epoch in range(30)])
    assert len(torch.unique(seen, dim=0)) == len(torch.unique(bags[index][0]["features"], dim=0))


def test_a_smaller_bag_is_taken_whole(bags: BagDataset) -> None:
    index = min(range(len(bags)), key=lambda i: sum(count for _, count in bags.tiles(i)))
    drawn, _ = bags.drawn(seed=1)[index]
    assert torch.equal(drawn["features"], bags[index][0]["features"])


def test_the_largest_bag(bags: BagDataset) -> None:
    tiles = [len(bags[index][0]["mask"]) for index in range(len(bags))]
    assert tiles[bags.largest] == max(tiles) == tiles[bags.drawn(seed=0).largest]


def test_the_number_of_drawn_tiles_is_the_data_sets(bags: BagDataset) -> None:
    few = BagDataset(bags.ids, bags.files, bags.targets.tolist(), bags.headers, drawn_tiles=4)
    assert all(len(bag["mask"]) == 4 for bag, _ in map(few.drawn(seed=0).__getitem__, range(len(few))))


def test_a_batch_is_padded_and_masked(bags: BagDataset) -> None:
    items = [bags[index] for index in range(5)]
    batch, targets = collate_bags(items)
    longest = max(len(bag["mask"]) for bag, _ in items)
    assert batch["features"].shape == (5, longest, 16)
    assert batch["coords"].shape == (5, longest, 2)
    assert batch["mask"].dtype == torch.bool
    assert targets.tolist() == [[0], [1], [2], [3], [4]]
    for row, (bag, _) in enumerate(items):
        tiles = len(bag["mask"])
        assert batch["mask"][row].sum() == tiles
        assert torch.equal(batch["features"][row, :tiles], bag["features"])
        assert not batch["features"][row, tiles:].any()


@pytest.mark.parametrize("rows", [[0], [3, 4, 30]])
def test_some_tiles(rows: list[int], bags: BagDataset) -> None:
    index = several_slides(bags)
    some, _ = bags.some_tiles(index, np.array(rows))
    assert torch.equal(some["features"], bags[index][0]["features"][rows])


def test_the_greatest_and_the_least_halves_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "extreme.h5"
    features = np.array([[65504, -65504, 6e-8, 0]], dtype=np.float16)
    write_features(file, features, np.zeros((1, 2), dtype=np.float32), extractor="x")
    bags = BagDataset(["p"], [[file]], [[0.0]], {file: read_header(file)})
    assert bags[0][0]["features"].tolist() == features.tolist()


@pytest.mark.parametrize("number", [float("nan"), -float("nan"), float("inf"), -float("inf")])
def test_features_that_are_no_numbers_are_named_with_their_file(number: float, tmp_path: Path) -> None:
    file = tmp_path / "bad.h5"
    features = np.ones((5, 3), dtype=np.float16)
    features[2, 1] = number
    write_features(file, features, np.zeros((5, 2), dtype=np.float32), extractor="x")
    bags = BagDataset(["p"], [[file]], [[0.0]], {file: read_header(file)})
    with pytest.raises(DataError, match="1 of 5 tiles") as caught:
        bags[0]
    assert (caught.value.code, caught.value.file) == ("MS-B008", str(file))
