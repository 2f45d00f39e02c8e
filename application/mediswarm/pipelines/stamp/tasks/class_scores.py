"""Counts and metrics of one target with ordered categories, from its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mediswarm.pipelines.classification import mean_of, one_versus_rest
from mediswarm.pipelines.counts import Counts, ratio

MEAN = "macro"
SUMMARIES = ("accuracy", "balanced_accuracy", f"auroc_{MEAN}", f"auprc_{MEAN}", f"f1_{MEAN}")
_QUALITIES = ("auroc", "auprc", "f1")
_OF_A_CLASS = (*_QUALITIES, "support")


def score_names(categories: Sequence[str], *, counts: bool = True) -> tuple[str, ...]:
    """Names of all metrics of a target: the summaries, then those of each category, with its `counts`."""
    own = _OF_A_CLASS if counts else _QUALITIES
    return (*SUMMARIES, *(f"{metric}_{name}" for name in categories for metric in own))


def score_counts(probability: np.ndarray[Any, Any], truth: np.ndarray[Any, np.dtype[np.int64]]) -> Counts:
    """Confusion, pairs, and for each category the sum of precisions at its patients.

    The precision at a patient is that among all patients of the site with at least its
    probability. Its mean over the category's patients is the average precision, the area under
    the precision-recall curve without interpolation. Summed over sites, ranks are compared
    within a site only, as the pairs of the AUROC are.

    Args:
        probability: [n, categories].
        truth: the categories' places [n].
    """
    precision = []
    for index in range(probability.shape[1]):
        scores = np.sort(probability[:, index])
        hits = np.sort(probability[truth == index, index])
        found = len(hits) - np.searchsorted(hits, hits, side="left")
        named = len(scores) - np.searchsorted(scores, hits, side="left")
        precision.append(float((found / named).sum()))
    return one_versus_rest(probability, truth) | {"precision": precision}


def score_metrics(counts: Counts, categories: Sequence[str]) -> dict[str, float | None]:
    """The metrics of :func:`score_names`; a category that no patient has is left out of the means."""
    confusion = np.array(counts["confusion"]).reshape(len(categories), -1)
    support, named, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    of_class: dict[str, list[float | None]] = {
        "auroc": [ratio(a, b) for a, b in zip(counts["concordant"], counts["comparable"], strict=True)],
        "auprc": [ratio(a, float(b)) for a, b in zip(counts["precision"], support, strict=True)],
        "f1": [
            ratio(2 * float(hit), float(have + said)) if have else None
            for hit, have, said in zip(hits, support, named, strict=True)
        ],
        "support": [float(have) for have in support],
    }
    recalls = [ratio(float(hit), float(have)) for hit, have in zip(hits, support, strict=True)]
    return {
        "accuracy": ratio(float(hits.sum()), counts["cases"][0]),
        "balanced_accuracy": mean_of(recalls),
        **{f"{metric}_{MEAN}": mean_of(of_class[metric]) for metric in ("auroc", "auprc", "f1")},
        **{
            f"{metric}_{name}": of_class[metric][index]
            for index, name in enumerate(categories)
            for metric in _OF_A_CLASS
        },
    }


def balanced_weights(class_counts: Sequence[float], cases: float) -> list[float]:
    """Weights [categories] = cases / (present categories · count); 0 for a category that no site has.

    With them the weights of all sites' patients together sum to `cases`: the mean over cases is
    the mean normalised by the summed weights, and the same at every site.
    """
    present = sum(count > 0 for count in class_counts)
    return [cases / (present * count) if count else 0.0 for count in class_counts]
