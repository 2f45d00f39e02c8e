"""From the predictions of one split to metrics with support and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mediswarm.evaluation.bootstrap import percentile_interval, resampled_macro_auroc
from mediswarm.evaluation.calibration import BINS, brier_score, calibration_error
from mediswarm.evaluation.class_scores import ClassScores
from mediswarm.evaluation.intervals import (
    Interval,
    auroc_interval,
    mean_of_proportions_interval,
    proportion_interval,
)
from mediswarm.evaluation.predictions import PredictionTable, read_predictions
from mediswarm.evaluation.result import WELL_SUPPORTED, Result


def evaluate_predictions(path: Path, site: str, method: str, classes: Sequence[str]) -> list[Result]:
    """Read the predictions for one split and evaluate them.

    Overall `auroc_macro`, `balanced_accuracy`, `accuracy`, `brier` and
    `calibration_error`; for each class `auroc_<class>` (one versus rest), and
    `sensitivity_<class>` and `specificity_<class>` where the most probable
    class is the decision.

    Args:
        path: a predictions file, see :func:`read_predictions`.
        site: whose cases these are.
        method: how the model was trained: `local` or `federated`.
        classes: ordered class names.

    Raises:
        DataError: MS-E001 to MS-E005.
    """
    table = read_predictions(path, classes)
    scores = ClassScores(table)
    rows = [_macro_auroc(table, scores), _balanced_accuracy(scores), _accuracy(scores), *_calibration(table)]
    for index in range(len(classes)):
        rows += [_auroc(scores, index), _sensitivity(scores, index), _specificity(scores, index)]
    return [row.result(site, method) for row in rows]


class _Row:
    """A result before it knows its site and method."""

    def __init__(
        self,
        metric: str,
        value: float | None,
        support: int,
        interval: Interval | None,
        descriptive: bool,
        classes: tuple[str, ...] = (),
    ) -> None:
        self.metric, self.value, self.support, self.interval = metric, value, support, interval
        self.descriptive, self.classes = descriptive or value is None, classes

    def result(self, site: str, method: str) -> Result:
        low, high = self.interval or (None, None)
        return Result(
            site, method, self.metric, self.value, self.support, low, high, self.descriptive, self.classes
        )


def _macro_auroc(table: PredictionTable, scores: ClassScores) -> _Row:
    chosen = scores.macro_classes()
    interval = None
    if chosen:
        interval = percentile_interval(resampled_macro_auroc([table], chosen)[0])
        # No resample undoes a perfect separation. The mean of the classes' own
        # limits then is cautious: it treats their errors as one and the same.
        limits = [limit for index in chosen if (limit := _auroc(scores, index).interval)]
        interval = interval or _mean_interval(limits)
    few = not all(scores.well_supported(index) for index in chosen)
    return _Row("auroc_macro", scores.macro_auroc(), scores.cases, interval, few, scores.names(chosen))


def _balanced_accuracy(scores: ClassScores) -> _Row:
    chosen = scores.recall_classes()
    counts = [(scores.hits[index], scores.positives[index]) for index in chosen]
    value = sum(hits / total for hits, total in counts) / len(counts) if counts else None
    few = any(total < WELL_SUPPORTED for _, total in counts)
    interval = mean_of_proportions_interval(counts) if counts else None
    return _Row("balanced_accuracy", value, scores.cases, interval, few, scores.names(chosen))


def _accuracy(scores: ClassScores) -> _Row:
    return _proportion("accuracy", sum(scores.hits), scores.cases)


def _calibration(table: PredictionTable) -> list[_Row]:
    cases = len(table)
    return [
        _Row("brier", brier_score(table), cases, None, cases < WELL_SUPPORTED),
        _Row("calibration_error", calibration_error(table), cases, None, cases < WELL_SUPPORTED * BINS),
    ]


def _auroc(scores: ClassScores, index: int) -> _Row:
    value, positives, negatives = scores.aurocs[index], scores.positives[index], scores.negatives[index]
    interval = auroc_interval(value, positives, negatives) if value is not None else None
    name = scores.classes[index]
    return _Row(f"auroc_{name}", value, positives, interval, not scores.well_supported(index), (name,))


def _sensitivity(scores: ClassScores, index: int) -> _Row:
    name = scores.classes[index]
    return _proportion(f"sensitivity_{name}", scores.hits[index], scores.positives[index], name)


def _specificity(scores: ClassScores, index: int) -> _Row:
    name, others = scores.classes[index], scores.negatives[index]
    return _proportion(f"specificity_{name}", others - scores.false_alarms[index], others, name)


def _proportion(metric: str, good: int, total: int, *classes: str) -> _Row:
    value = good / total if total else None
    interval = proportion_interval(good, total) if total else None
    return _Row(metric, value, total, interval, total < WELL_SUPPORTED, classes)


def _mean_interval(intervals: Sequence[Interval]) -> Interval:
    lows, highs = zip(*intervals, strict=True)
    return sum(lows) / len(lows), sum(highs) / len(highs)
