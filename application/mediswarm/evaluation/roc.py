"""Receiver operating characteristic: the points of the curve, as they are, unsmoothed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mediswarm.evaluation.predictions import PredictionTable, read_predictions


@dataclass(frozen=True)
class RocCurve:
    """One class against the rest: from (0, 0) to (1, 1), one point for each distinct threshold."""

    site: str
    method: str
    label: str
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


def roc_curves(path: Path, site: str, method: str, classes: Sequence[str]) -> list[RocCurve]:
    """The curves of all classes that have cases and counter-cases in a predictions file.

    Raises:
        DataError: MS-E001 to MS-E005.
    """
    return curves_of(read_predictions(path, classes), site, method)


def curves_of(table: PredictionTable, site: str, method: str) -> list[RocCurve]:
    """The curves of all classes that have cases and counter-cases in a table."""
    return [
        _curve(table, label, site, method)
        for label in range(len(table.classes))
        if 0 < int((table.targets == label).sum()) < len(table)
    ]


def _curve(table: PredictionTable, label: int, site: str, method: str) -> RocCurve:
    order = np.argsort(-table.probabilities[:, label], kind="stable")
    scores, positive = table.probabilities[order, label], table.targets[order] == label
    last_of_each = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true, false = np.cumsum(positive)[last_of_each], np.cumsum(~positive)[last_of_each]
    return RocCurve(
        site,
        method,
        table.classes[label],
        (0.0, *(float(value) for value in false / false[-1])),
        (0.0, *(float(value) for value in true / true[-1])),
    )
