"""Training batches are even and complete; batches for judgement keep the order."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter, namedtuple
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mediswarm.errors import DataError
from mediswarm.pipelines import Cases
from mediswarm.training import batches as batches_module
from mediswarm.training.batches import (
    EvenBatches,
    ordered_batches,
    read_by_workers,
    training_batches,
    worker_count,
)

CPU = torch.device("cpu")


def drawn(cases: int, batch_size: int, batches: int, seed: int = 0) -> list[list[int]]:
    return list(EvenBatches(cases, batch_size, batches, torch.Generator().manual_seed(seed)))


def test_17_cases_at_16_are_9_and_8() -> None:
    assert [len(batch) for batch in drawn(17, 16, 2)] == [9, 8]


@given(cases=st.integers(1, 200), batch_size=st.integers(1, 64), epochs=st.integers(1, 3))
def test_each_case_once_an_epoch_in_even_batches(cases: int, batch_size: int, epochs: int) -> None:
    size = math.ceil(cases / batch_size)
    batches = drawn(cases, batch_size, epochs * size)
    assert len(batches) == epochs * size
    for epoch in range(epochs):
        part = batches[epoch * size : (epoch + 1) * size]
        assert sorted(case for batch in part for case in batch) == list(range(cases))
    lengths = {len(batch) for batch in batches}
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= batch_size


@given(cases=st.integers(2, 50), batch_size=st.integers(1, 16), batches=st.integers(1, 40))
def test_a_round_that_counts_steps_may_end_within_an_epoch(cases: int, batch_size: int, batches: int) -> None:
    found = drawn(cases, batch_size, batches)
    assert len(found) == batches
    uses = Counter(case for batch in found for case in batch)
    assert max(uses.values()) - min(uses[case] for case in range(cases)) <= 1


def test_the_order_follows_from_the_seed_and_changes_with_the_epoch() -> None:
    assert drawn(40, 8, 10, seed=1) == drawn(40, 8, 10, seed=1)
    assert drawn(40, 8, 10, seed=1) != drawn(40, 8, 10, seed=2)
    first, second = drawn(40, 40, 2)
    assert first != second


@pytest.fixture
def cases() -> Cases:
    return Cases.of(torch.arange(17.0).reshape(17, 1), torch.arange(17))


def test_loaders_give_inputs_with_their_targets(cases: Cases) -> None:
    for inputs, targets in training_batches(cases, 5, 8, torch.Generator(), CPU):
        assert inputs[:, 0].tolist() == targets.tolist()
    ordered = [targets for _, targets in ordered_batches(cases, 5, CPU)]
    assert [len(targets) for targets in ordered] == [5, 5, 5, 2]
    assert torch.cat(ordered).tolist() == list(range(17))


Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil has it
MIB = 2**20


@pytest.mark.parametrize(
    ("cores", "room", "batch", "workers"),
    [
        (16, 8192 * MIB, 64 * MIB, 4),
        (3, 8192 * MIB, 64 * MIB, 2),
        (1, 8192 * MIB, 64 * MIB, 0),
        (16, 64 * MIB, 10 * MIB, 2),
        (16, 64 * MIB, 64 * MIB, 0),
        (16, 0, 0, 0),
    ],
)
def test_workers_follow_from_cores_and_shared_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, room: int, batch: int, workers: int
) -> None:
    """R12: what does not fit into /dev/shm kills the workers, so no more are started than fit."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(room, 0, room))
    assert worker_count(batch) == workers


def test_without_shared_memory_there_are_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "_SHARED_MEMORY", "/nowhere")
    assert worker_count(1) == 0


class _Broken(torch.utils.data.Dataset):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 2:
            raise DataError("MS-D122", "1 of 8 voxels are NaN", file="Sub_1.nii.gz")
        return torch.tensor([float(index)]), index


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_keeps_its_code_and_file(workers: int) -> None:
    batches = read_by_workers(_Broken(), [[0, 1], [2, 3]], workers, pin_memory=False)
    inputs, targets = next(batches)
    assert inputs[:, 0].tolist() == targets.tolist() == [0, 1]
    with pytest.raises(DataError) as caught:
        next(batches)
    assert (caught.value.code, caught.value.file) == ("MS-D122", "Sub_1.nii.gz")


class Ragged(torch.utils.data.Dataset):
    """Case i is i + 1 ones; a draw sees one number instead: the item's own number times the seed."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 4 and self.broken:
            raise DataError("MS-D122", "NaN", file="case 4")
        return torch.ones(index + 1), index

    broken = False

    def collate(self, items: list[Any]) -> Any:
        inputs, targets = zip(*items, strict=True)
        return torch.nn.utils.rnn.pad_sequence(list(inputs), batch_first=True), torch.tensor(targets)

    def drawn(self, seed: int) -> Any:
        return Drawn(seed)


class Drawn(Ragged):
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((1 + index % 5,), float(index * self.seed)), index % 5


RAGGED = Cases(Ragged(), list("abcde"))


def test_a_data_set_may_make_its_batches_itself() -> None:
    (inputs, targets), (rest, last) = ordered_batches(RAGGED, 3, CPU)
    assert inputs.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert (targets.tolist(), rest.shape, last.tolist()) == ([0, 1, 2], (2, 5), [3, 4])


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_make_the_same_batches_and_keep_error_codes(workers: int) -> None:
    batches = list(read_by_workers(Ragged(), [[0, 1], [3]], workers, pin_memory=False))
    assert [inputs.tolist() for inputs, _ in batches] == [[[1, 0], [1, 1]], [[1, 1, 1, 1]]]
    broken = Ragged()
    broken.broken = True
    with pytest.raises(DataError) as caught:
        list(read_by_workers(broken, [[0, 4]], workers, pin_memory=False))
    assert caught.value.code == "MS-D122"


def test_training_sees_another_draw_in_each_epoch_and_the_same_for_one_seed() -> None:
    def first_numbers(seed: int) -> list[tuple[int, float]]:
        batches = training_batches(RAGGED, 2, 6, torch.Generator().manual_seed(seed), CPU)
        return [
            (int(target), float(row[0]))
            for inputs, targets in batches
            for row, target in zip(inputs, targets, strict=True)
        ]

    seen = first_numbers(3)
    assert sorted(case for case, _ in seen[:5]) == sorted(case for case, _ in seen[5:]) == [0, 1, 2, 3, 4]
    # item number is epoch * cases + case, and the draw has the generator's first seed
    assert sorted(number for _, number in seen) == [3.0 * item for item in range(10)]
    assert sorted(number for _, number in first_numbers(4)) == [4.0 * item for item in range(10)]
    assert all(number == 3.0 * (case + 5 * (turn >= 5)) for turn, (case, number) in enumerate(seen))
    assert first_numbers(3) == seen
    assert [int(target) for _, targets in ordered_batches(RAGGED, 2, CPU) for target in targets] == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_workers_draw_what_one_process_draws() -> None:
    drawn = Ragged().drawn(7)
    numbers = [[0, 7], [3, 12], [9, 5]]
    alone, apart = (
        [inputs.tolist() for inputs, _ in read_by_workers(drawn, numbers, workers, pin_memory=False)]
        for workers in (0, 2)
    )
    assert alone == apart
