"""Whether probabilities mean what they say."""

from __future__ import annotations

import numpy as np

from mediswarm.evaluation.predictions import PredictionTable

BINS = 10


def brier_score(table: PredictionTable) -> float | None:
    """Mean squared distance between probabilities and truth, summed over classes: 0 best, 2 worst.

    Source: Brier GW. Verification of forecasts expressed in terms of
    probability. Monthly Weather Review 1950;78:1-3. None without cases.
    """
    if not len(table):
        return None
    truth = np.eye(len(table.classes))[table.targets]
    return float(((table.probabilities - truth) ** 2).sum(axis=1).mean())


def calibration_error(table: PredictionTable) -> float | None:
    """Expected calibration error of the most probable class, over ten bins of equal width.

    The mean, over the cases, of the gap between confidence and accuracy in the
    case's bin. Source: Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of
    modern neural networks. ICML 2017. None without cases.
    """
    if not len(table):
        return None
    confidence = table.probabilities.max(axis=1)
    right = table.probabilities.argmax(axis=1) == table.targets
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    bins = np.digitize(confidence, edges, right=True)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(table))
