"""The weighted mean against NumPy."""

from __future__ import annotations

import itertools
import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from mediswarm.aggregation import WeightedMean
from mediswarm.aggregation.mean import _BLOCK
from mediswarm.errors import ContractError


def mean_of(values: list[dict[str, torch.Tensor]], weights: list[float]) -> dict[str, torch.Tensor]:
    mean = WeightedMean(values[0])
    for value, weight in zip(values, weights, strict=True):
        mean.add(value, weight)
    return mean.drain()


def test_it_is_numpys_weighted_average() -> None:
    random = np.random.default_rng(0)
    arrays = random.normal(size=(4, 5, 3))
    weights = [3.0, 50.0, 1.0, 17.5]
    found = mean_of([{"w": torch.tensor(array)} for array in arrays], weights)
    np.testing.assert_allclose(found["w"].numpy(), np.average(arrays, axis=0, weights=weights), rtol=1e-12)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_mean_has_the_type_of_the_model(kind: torch.dtype) -> None:
    found = mean_of(
        [{"w": torch.tensor([1.0, 2.0], dtype=kind)}, {"w": torch.tensor([4.0, 2.0], dtype=kind)}], [1, 2]
    )
    assert found["w"].dtype == kind
    assert found["w"].tolist() == [3.0, 2.0]


def test_the_order_of_contributions_does_not_matter() -> None:
    random = np.random.default_rng(1)
    sizes = 10.0 ** random.integers(-6, 6, size=5)
    values = [{"w": torch.tensor(random.normal(scale=size, size=50), dtype=torch.float32)} for size in sizes]
    weights = [1.0, 7.0, 31.0, 2.0, 400.0]
    results = [
        mean_of([values[i] for i in order], [weights[i] for i in order])["w"]
        for order in itertools.permutations(range(5))
    ]
    assert all(torch.equal(result, results[0]) for result in results)


def test_integers_are_rounded_to_the_nearest() -> None:
    counters = [{"batches": torch.tensor(value)} for value in (10, 20, 40)]
    assert mean_of(counters, [1, 1, 1])["batches"].item() == 23
    assert mean_of(counters, [1, 1, 2])["batches"].item() == 28
    assert mean_of(counters, [1, 1, 1])["batches"].dtype == torch.int64


def test_a_mean_starts_anew_when_it_is_drained() -> None:
    mean = WeightedMean({"w": torch.zeros(2)})
    mean.add({"w": torch.tensor([1.0, 2.0])}, 2)
    first = mean.drain()["w"]
    mean.add({"w": torch.tensor([3.0, 4.0])}, 9)
    assert mean.drain()["w"].tolist() == [3.0, 4.0]
    assert first.tolist() == [1.0, 2.0]


def test_the_model_that_a_mean_is_made_for_is_not_kept() -> None:
    model = {"w": torch.zeros(3)}
    kept = weakref.ref(model["w"])
    mean = WeightedMean(model)
    del model
    assert kept() is None
    mean.add({"w": torch.ones(3)}, 1)
    assert mean.drain()["w"].tolist() == [1.0, 1.0, 1.0]


def test_tensors_of_any_size_are_summed() -> None:
    sizes = [(), (0,), (1,), (_BLOCK,), (_BLOCK + 1,), (3, _BLOCK)]
    random = torch.Generator().manual_seed(0)
    values = [{str(size): torch.randn(size, generator=random) for size in sizes} for _ in range(3)]
    weights = [3.0, 5.0, 0.5]
    found = mean_of(values, weights)
    for name in values[0]:
        expected = sum(value[name].double() * share for value, share in zip(values, weights, strict=True))
        torch.testing.assert_close(found[name], (expected / 8.5).float(), rtol=1e-6, atol=1e-7)


def test_a_contribution_is_not_written_to() -> None:
    value = torch.tensor([1.0, 2.0], dtype=torch.float64)
    mean_of([{"w": value}], [3]).popitem()[1].zero_()
    assert value.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"a": torch.ones(2)},
        {"a": torch.ones(2), "b": torch.ones(1), "c": torch.ones(1)},
        {"a": torch.ones(2), "b": torch.ones(3)},
        {"a": torch.ones(2), "b": torch.ones(())},
        {},
    ],
    ids=["missing", "unknown", "other shape", "shape that torch would stretch", "empty"],
)
def test_a_contribution_that_does_not_fit_is_refused_and_leaves_no_trace(wrong: Any) -> None:
    mean = WeightedMean({"a": torch.zeros(2), "b": torch.zeros(1)})
    mean.add({"a": torch.tensor([1.0, 1.0]), "b": torch.tensor([1.0])}, 1)
    with pytest.raises(ContractError, match="parameter") as caught:
        mean.add(wrong, 100)
    assert caught.value.code == "MS-C003"
    mean.add({"a": torch.tensor([3.0, 3.0]), "b": torch.tensor([3.0])}, 1)
    assert {name: value.tolist() for name, value in mean.drain().items()} == {"a": [2.0, 2.0], "b": [2.0]}


def test_the_first_contribution_must_fit_the_model_too() -> None:
    with pytest.raises(ContractError, match="parameter w of shape"):
        WeightedMean({"w": torch.zeros(3)}).add({"w": torch.zeros(1)}, 1)


def test_a_mean_of_nothing_is_an_error_and_never_nan() -> None:
    mean = WeightedMean({"w": torch.zeros(1)})
    mean.add({"w": torch.ones(1)}, 0)
    with pytest.raises(ContractError, match="weight 0") as caught:
        mean.drain()
    assert caught.value.code == "MS-C005"
    mean.add({"w": torch.ones(1)}, 2)
    assert not math.isnan(mean.drain()["w"].item())
