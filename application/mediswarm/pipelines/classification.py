"""What all classification pipelines share: weighted loss, counts, metrics."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mediswarm.pipelines.base import C, Cases, Pipeline, SiteData
from mediswarm.pipelines.counts import Counts, ratio


class ClassificationPipeline(Pipeline[C]):
    """Mutually exclusive, ordered classes; the model gives one logit per class.

    Counts of a split: `cases`, `confusion` (true class major), and for each
    class one-versus-rest `concordant` and `comparable` pairs, whose ratio is
    the AUROC (Mann and Whitney, 1947). Summed over sites, pairs are compared
    within a site only, which makes it a stratified AUROC.
    """

    class_weighting: bool = True
    """Whether the loss weighs classes by the inverse of their global count."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Ordered class names; a target is an index into them."""

    def contract(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def statistics(self, data: SiteData) -> Counts:
        """`class_counts` of the training cases, in the order of `classes`."""
        counts = np.bincount(self.targets(data.train), minlength=len(self.classes))
        return {"class_counts": [float(count) for count in counts]}

    def targets(self, cases: Cases) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Class indices [n] of a split; override where reading the inputs is expensive."""
        return np.array([int(cases.dataset[i][1]) for i in range(len(cases))], dtype=np.int64)

    def class_weights(self) -> torch.Tensor | None:
        """Weights [classes] = cases / (present classes · count), from the summed global counts.

        The mean weight over all cases is 1. None before the sites have agreed;
        a class that no site has weighs 0.
        """
        counts = self.totals.get("class_counts")
        if not self.class_weighting or not counts:
            return None
        total, present = sum(counts), sum(count > 0 for count in counts)
        return torch.tensor([total / (present * count) if count else 0.0 for count in counts])

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross entropy [scalar], weighted by class, divided by the number of cases.

        Not divided by the sum of the weights, which would cancel them in a batch of one.
        """
        weights = self.class_weights()
        losses = cross_entropy(output.float(), target, reduction="none")
        return (losses if weights is None else losses * weights.to(losses.device)[target]).mean()

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, classes]."""
        return output.float().softmax(dim=1)

    @property
    def reported(self) -> tuple[str, ...]:
        return ("accuracy", "balanced_accuracy", "auroc_macro", *(f"auroc_{name}" for name in self.classes))

    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        probability, truth = predictions.numpy(), targets.numpy().astype(np.int64)
        size = len(self.classes)
        confusion = np.zeros((size, size))
        np.add.at(confusion, (truth, probability.argmax(axis=1)), 1)
        concordant, comparable = [], []
        for index in range(size):
            positive = truth == index
            positives, negatives = int(positive.sum()), int((~positive).sum())
            ranks = average_ranks(probability[:, index])
            pairs = positives * negatives
            concordant.append(
                float(ranks[positive].sum() - positives * (positives + 1) / 2) if pairs else 0.0
            )
            comparable.append(float(pairs))
        return {
            "cases": [float(len(truth))],
            "confusion": [float(value) for value in confusion.ravel()],
            "concordant": concordant,
            "comparable": comparable,
        }

    def metrics(self, counts: Counts) -> dict[str, float | None]:
        """Accuracy; mean recall and mean AUROC over the classes present; AUROC of each class."""
        size = len(self.classes)
        confusion = np.array(counts["confusion"]).reshape(size, size)
        recalls = [ratio(confusion[i, i], confusion[i].sum()) for i in range(size)]
        aurocs = [ratio(a, b) for a, b in zip(counts["concordant"], counts["comparable"], strict=True)]
        return {
            "accuracy": ratio(float(np.trace(confusion)), counts["cases"][0]),
            "balanced_accuracy": _mean(recalls),
            "auroc_macro": _mean(aurocs),
            **{f"auroc_{name}": value for name, value in zip(self.classes, aurocs, strict=True)},
        }

    def prediction_columns(self) -> list[str]:
        return [f"p_{name}" for name in self.classes]


def average_ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Ranks [n] from 1, ties sharing their mean rank."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group], dtype=np.float64)


def _mean(values: list[float | None]) -> float | None:
    present = [float(value) for value in values if value is not None]
    return sum(present) / len(present) if present else None
