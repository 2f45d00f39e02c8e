"""What classification pipelines share: weights of classes, counts, metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch.nn.functional import cross_entropy

from mediswarm.pipelines import Cases, ClassificationPipeline, Config, Site, SiteData, add_counts
from mediswarm.pipelines.classification import average_ranks


class Three(ClassificationPipeline[Config]):
    Config = Config
    classes = ("a", "b", "c")

    def data(self, site: Site) -> SiteData:
        raise NotImplementedError

    def model(self) -> torch.nn.Module:
        raise NotImplementedError


@pytest.fixture
def pipeline() -> Three:
    return Three(Config())


def random_predictions(cases: int, seed: int, ties: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(cases, 3))
    if ties:
        logits = logits.round()
    return torch.tensor(logits, dtype=torch.float32).softmax(dim=1), torch.tensor(
        random.integers(3, size=cases)
    )


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_of_one_site_are_those_of_scikit_learn(ties: bool, pipeline: Three) -> None:
    probability, truth = random_predictions(80, 0, ties)
    metrics = pipeline.metrics(pipeline.count(probability, truth))
    guess = probability.argmax(dim=1)
    assert metrics["accuracy"] == pytest.approx(float((guess == truth).float().mean()))
    assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess))
    aurocs = [roc_auc_score(truth == index, probability[:, index]) for index in range(3)]
    assert [metrics[f"auroc_{name}"] for name in "abc"] == pytest.approx(aurocs)
    assert metrics["auroc_macro"] == pytest.approx(np.mean(aurocs))
    assert tuple(metrics) == pipeline.reported


def test_the_sum_over_sites_compares_pairs_within_a_site(pipeline: Three) -> None:
    sites = [random_predictions(cases, seed) for seed, cases in enumerate((40, 15, 90))]
    summed = pipeline.metrics(add_counts(pipeline.count(*site) for site in sites))
    for index, name in enumerate("abc"):
        pairs = [int((truth == index).sum()) * int((truth != index).sum()) for _, truth in sites]
        aurocs = [roc_auc_score(truth == index, probability[:, index]) for probability, truth in sites]
        assert summed[f"auroc_{name}"] == pytest.approx(np.average(aurocs, weights=pairs))
    right = sum(int((probability.argmax(dim=1) == truth).sum()) for probability, truth in sites)
    assert summed["accuracy"] == pytest.approx(right / 145)


def test_an_absent_class_is_not_available_and_never_0(pipeline: Three) -> None:
    probability, truth = random_predictions(30, 3)
    truth = truth.clamp(max=1)
    alone = pipeline.metrics(pipeline.count(probability, truth))
    assert alone["auroc_c"] is None
    assert alone["auroc_macro"] == pytest.approx((alone["auroc_a"] + alone["auroc_b"]) / 2)  # type: ignore[operator]
    recalls = [float((probability.argmax(dim=1)[truth == index] == index).float().mean()) for index in (0, 1)]
    assert alone["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    with_another = pipeline.metrics(
        add_counts([pipeline.count(probability, truth), pipeline.count(*random_predictions(30, 4))])
    )
    assert None not in with_another.values()


def test_one_case_and_one_class(pipeline: Three) -> None:
    metrics = pipeline.metrics(pipeline.count(torch.tensor([[0.2, 0.5, 0.3]]), torch.tensor([1])))
    assert metrics["accuracy"] == 1.0
    assert metrics["auroc_macro"] is None


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_average_ranks(values: list[int]) -> None:
    found = average_ranks(np.array(values))
    below = [sum(other < value for other in values) for value in values]
    equal = [values.count(value) for value in values]
    assert found.tolist() == [low + (same + 1) / 2 for low, same in zip(below, equal, strict=True)]


# -- the weights of classes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ([10.0, 10.0, 10.0], [1.0, 1.0, 1.0]),
        ([60.0, 30.0, 10.0], [100 / 180, 100 / 90, 100 / 30]),
        ([60.0, 0.0, 20.0], [80 / 120, 0.0, 80 / 40]),
    ],
)
def test_class_weights(counts: list[float], weights: list[float], pipeline: Three) -> None:
    assert pipeline.class_weights() is None
    pipeline.agree({"class_counts": counts})
    found = pipeline.class_weights()
    assert found is not None
    assert found.tolist() == pytest.approx(weights)
    assert sum(weight * count for weight, count in zip(found.tolist(), counts, strict=True)) == pytest.approx(
        sum(counts)
    )


def test_the_loss_is_weighted_per_case_also_in_a_batch_of_one(pipeline: Three) -> None:
    output = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 0, 0, 1, 1, 2])
    plain = cross_entropy(output, target, reduction="none")
    assert pipeline.loss(output, target) == pytest.approx(float(plain.mean()))
    pipeline.agree({"class_counts": [60.0, 30.0, 10.0]})
    weights = torch.tensor([100 / 180, 100 / 90, 100 / 30])
    assert pipeline.loss(output, target) == pytest.approx(float((plain * weights[target]).mean()))
    assert pipeline.loss(output[5:], target[5:]) == pytest.approx(float(plain[5] * weights[2]))


def test_class_weighting_can_be_switched_off_by_a_pipeline(pipeline: Three) -> None:
    pipeline.class_weighting = False
    pipeline.agree({"class_counts": [60.0, 30.0, 10.0]})
    assert pipeline.class_weights() is None


def test_statistics_count_the_training_cases(pipeline: Three) -> None:
    def cases(*targets: int) -> Cases:
        return Cases.of(torch.zeros(len(targets), 1), torch.tensor(targets))

    data: Any = SiteData(cases(0, 0, 2), cases(1, 1), cases(1))
    assert pipeline.statistics(data) == {"class_counts": [2.0, 0.0, 1.0]}
