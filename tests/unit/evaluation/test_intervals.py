import numpy as np
import pytest
from scipy.stats import binomtest, norm

from mediswarm.evaluation.bootstrap import RESAMPLES, percentile_interval, resampled_macro_auroc
from mediswarm.evaluation.class_scores import auroc
from mediswarm.evaluation.intervals import auroc_interval, mean_of_proportions_interval, proportion_interval
from mediswarm.evaluation.predictions import PredictionTable


@pytest.mark.parametrize(("value", "positives", "negatives"), [(0.893, 51, 58), (0.7, 12, 90), (0.55, 5, 4)])
def test_auroc_limits_are_the_roots_of_newcombes_quartic(
    value: float, positives: int, negatives: int
) -> None:
    # (value - t)^2 = z^2 t (1-t) [1 + s (1-t)/(2-t) + s t/(1+t)] / (mn), cleared of its fractions.
    poly = np.polynomial.Polynomial
    t, square = poly([0, 1]), norm.ppf(0.975) ** 2
    spread = (positives + negatives) / 2 - 1
    pairs = (2 - t) * (1 + t) + spread * (1 - t) * (1 + t) + spread * t * (2 - t)
    equation = (value - t) ** 2 * (2 - t) * (1 + t) * positives * negatives - square * t * (1 - t) * pairs
    roots = sorted(root.real for root in equation.roots() if abs(root.imag) < 1e-9 and 0 < root.real < 1)
    assert auroc_interval(value, positives, negatives) == pytest.approx((roots[0], roots[-1]), abs=1e-9)


def test_auroc_interval_is_valid_at_both_ends() -> None:
    low, high = auroc_interval(1.0, 10, 10)
    assert high == 1.0
    assert 0.75 < low < 0.85
    assert auroc_interval(0.0, 10, 10) == pytest.approx((0.0, 1 - low))
    assert auroc_interval(1.0, 100, 100)[0] > low


def test_auroc_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    positives, negatives, truth, repeats = 15, 30, 0.85, 400
    shift = norm.ppf(truth) * np.sqrt(2)
    positive = np.arange(positives + negatives) < positives
    covered = 0
    for _ in range(repeats):
        value = auroc(generator.normal(size=positives + negatives) + shift * positive, positive)
        assert value is not None
        low, high = auroc_interval(value, positives, negatives)
        covered += low <= truth <= high
    assert 0.92 < covered / repeats < 0.985


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (3, 10), (81, 263), (10, 10), (1, 1)])
def test_proportion_interval_equals_scipys_wilson(successes: int, total: int) -> None:
    expected = binomtest(successes, total).proportion_ci(method="wilson")
    assert proportion_interval(successes, total) == pytest.approx((expected.low, expected.high))


def test_mean_of_one_proportion_has_its_own_interval() -> None:
    assert mean_of_proportions_interval([(7, 9)]) == pytest.approx(proportion_interval(7, 9))


def test_mean_of_proportions_keeps_a_width_when_all_succeed() -> None:
    low, high = mean_of_proportions_interval([(10, 10), (12, 12), (9, 9)])
    assert high == pytest.approx(1.0)
    assert 0.7 < low < 0.95


def _table(seed: int, counts: tuple[int, ...], skill: float) -> PredictionTable:
    generator = np.random.default_rng(seed)
    targets = np.repeat(np.arange(len(counts)), counts)
    weights = np.exp(
        generator.normal(size=(len(targets), len(counts))) + skill * np.eye(len(counts))[targets]
    )
    probabilities = np.round(weights / weights.sum(axis=1, keepdims=True), 2)  # with ties
    return PredictionTable(("a", "b", "c"), targets, probabilities, tuple(map(str, range(len(targets)))))


def test_resampled_auroc_equals_resampling_one_by_one() -> None:
    table = _table(0, (12, 8, 15), 1.0)
    found = resampled_macro_auroc([table], [0, 2])[0]
    assert found.shape == (RESAMPLES,)
    # The first draws again, as plain index lists.
    generator = np.random.default_rng(20060215)
    drawn = [generator.integers(count, size=(RESAMPLES, count)) for count in (12, 8, 15)]
    starts = (0, 12, 20)
    for number in range(5):
        rows = np.concatenate([start + indices[number] for start, indices in zip(starts, drawn, strict=True)])
        expected = [auroc(table.probabilities[rows, c], table.targets[rows] == c) for c in (0, 2)]
        assert found[number] == pytest.approx(np.mean(np.array(expected, dtype=float)))


def test_bootstrap_is_the_same_in_every_call_and_paired_between_tables() -> None:
    table = _table(0, (12, 8, 15), 1.0)
    twice = resampled_macro_auroc([table, table], [0, 1, 2])
    assert np.array_equal(twice[0], twice[1])
    assert np.array_equal(twice[0], resampled_macro_auroc([table], [0, 1, 2])[0])
    assert percentile_interval(twice[1] - twice[0]) is None


def test_bootstrap_interval_holds_the_estimate() -> None:
    table = _table(1, (40, 30, 30), 1.0)
    interval = percentile_interval(resampled_macro_auroc([table], [0, 1, 2])[0])
    aurocs = [auroc(table.probabilities[:, c], table.targets == c) for c in range(3)]
    assert interval is not None
    assert interval[0] < np.mean(np.array(aurocs, dtype=float)) < interval[1]
