"""Training batches are even and complete; batches for judgement keep the order."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mediswarm.pipelines import Cases
from mediswarm.training.batches import EvenBatches, ordered_batches, training_batches

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
