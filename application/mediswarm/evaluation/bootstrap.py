"""AUROC on many resamples of the same cases at once.

Resampling is within each class, so that every resample has the classes of the
sample (Efron and Tibshirani, 1993, chapter 8): a class never disappears, and a
mean over classes stays defined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mediswarm.evaluation.intervals import Interval
from mediswarm.evaluation.predictions import Floats, Ints, PredictionTable

RESAMPLES = 1000
_SEED = 20060215
_CELLS = 4_000_000  # resamples are made in blocks, so that a large test set needs little memory


def resampled_macro_auroc(tables: Sequence[PredictionTable], classes: Sequence[int]) -> Floats:
    """Mean one-versus-rest AUROC over `classes` on each resample, [tables, RESAMPLES].

    All tables hold the same cases in the same order, and all are judged on the
    same resamples, so that their differences are paired. The resamples are the
    same in every call.
    """
    targets = tables[0].targets
    generator = np.random.default_rng(_SEED)
    block = max(1, min(RESAMPLES, _CELLS // max(1, len(targets))))
    blocks = []
    for start in range(0, RESAMPLES, block):
        weights = _weights(targets, min(block, RESAMPLES - start), generator)
        blocks.append(
            [
                np.mean([_auroc(table.probabilities[:, c], targets == c, weights) for c in classes], axis=0)
                for table in tables
            ]
        )
    return np.concatenate(blocks, axis=1)


def percentile_interval(values: Floats) -> Interval | None:
    """The middle 95 % of resampled `values`; None when all are equal, which tells nothing."""
    if np.ptp(values) < 1e-12:  # noqa: PLR2004 - rounding of equal means
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _weights(targets: Ints, resamples: int, generator: np.random.Generator) -> Floats:
    """How often each case stands in each resample, [resamples, n]."""
    weights = np.zeros((resamples, len(targets)))
    for target in np.unique(targets):
        members = np.flatnonzero(targets == target)
        drawn = generator.integers(len(members), size=(resamples, len(members)))
        drawn += np.arange(resamples)[:, None] * len(members)
        counted = np.bincount(drawn.ravel(), minlength=resamples * len(members))
        weights[:, members] = counted.reshape(resamples, len(members))
    return weights


def _auroc(scores: Floats, positive: np.ndarray[tuple[int], np.dtype[np.bool_]], weights: Floats) -> Floats:
    """Weighted Mann-Whitney AUROC [resamples]: pairs won, and half of those tied."""
    order = np.argsort(scores, kind="stable")
    ranked, positive, weights = scores[order], positive[order], weights[:, order]
    negatives = np.cumsum(np.where(positive, 0.0, weights), axis=1)
    below_each = np.hstack([np.zeros((len(weights), 1)), negatives])
    beaten = below_each[:, np.searchsorted(ranked, ranked[positive], "left")]
    beaten_or_tied = below_each[:, np.searchsorted(ranked, ranked[positive], "right")]
    won = (weights[:, positive] * (beaten + beaten_or_tied)).sum(axis=1) / 2
    pairs = positive.sum() * (~positive).sum()
    return np.asarray(won / pairs)
