"""What all classification pipelines share: weighted loss, counts, metrics."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch

from mediswarm.models.heads import Head, log_probabilities, outputs_of
from mediswarm.pipelines.base import C, Cases, Pipeline, SiteData
from mediswarm.pipelines.counts import Counts, ratio


class ClassificationPipeline(Pipeline[C]):
    """Mutually exclusive, ordered classes; the model gives :attr:`outputs` numbers for a case.

    Counts of a split: `cases`, `confusion` (true class major), and for each
    class one-versus-rest `concordant` and `comparable` pairs, whose ratio is
    the AUROC (Mann and Whitney, 1947). Summed over sites, pairs are compared
    within a site only, which makes it a stratified AUROC.
    """

    class_weighting: bool = True
    """Whether the loss weighs classes by the inverse of their global count."""

    @property
    def head(self) -> Head:
        """How the model's outputs become probabilities: one logit per class unless a subclass says else."""
        return "softmax"

    @property
    def outputs(self) -> int:
        """How many numbers the model must give for a case."""
        return outputs_of(self.head, len(self.classes))

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Ordered class names; a target is an index into them."""

    def contract(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def statistics(self, data: SiteData) -> Counts:
        """`class_counts` of the training cases, in the order of `classes`."""
        counts = np.bincount(self.targets(data.train).ravel(), minlength=len(self.classes))
        return {"class_counts": [float(count) for count in counts]}

    def targets(self, cases: Cases) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Class indices of a split, [n] or [n, parts]; override where reading the inputs is expensive."""
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
        """Negative log probability of the true class [scalar], weighted by class, mean over the cases.

        That is cross entropy for a softmax. For the ordinal head it is CORN's loss, the sum of its
        tasks' binary cross entropies, of which a case takes part in those it has reached; the paper
        divides by the number of such parts, we by cases, so that accumulated batches and sites of
        another mix of classes add up. Nor is it divided by the sum of the weights, which would cancel
        them in a batch of one.
        """
        weights = self.class_weights()
        losses = -log_probabilities(self.head, output).gather(1, target[:, None]).squeeze(1)
        return (losses if weights is None else losses * weights.to(losses.device)[target]).mean()

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, classes]."""
        return log_probabilities(self.head, output).exp()

    @property
    def reported(self) -> tuple[str, ...]:
        return ("accuracy", "balanced_accuracy", "auroc_macro", *(f"auroc_{name}" for name in self.classes))

    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        return one_versus_rest(predictions.numpy(), targets.numpy().astype(np.int64))

    def metrics(self, counts: Counts) -> dict[str, float | None]:
        """Accuracy; mean recall and mean AUROC over the classes present; AUROC of each class."""
        size = len(self.classes)
        confusion = np.array(counts["confusion"]).reshape(size, size)
        recalls = [ratio(confusion[i, i], confusion[i].sum()) for i in range(size)]
        aurocs = [ratio(a, b) for a, b in zip(counts["concordant"], counts["comparable"], strict=True)]
        return {
            "accuracy": ratio(float(np.trace(confusion)), counts["cases"][0]),
            "balanced_accuracy": mean_of(recalls),
            "auroc_macro": mean_of(aurocs),
            **{f"auroc_{name}": value for name, value in zip(self.classes, aurocs, strict=True)},
        }

    def prediction_columns(self) -> list[str]:
        return [f"p_{name}" for name in self.classes]


def one_versus_rest(probability: np.ndarray[Any, Any], truth: np.ndarray[Any, np.dtype[np.int64]]) -> Counts:
    """Cases, confusion and pairs, as :class:`ClassificationPipeline` names them.

    Args:
        probability: [n, classes].
        truth: class indices [n].
    """
    size = probability.shape[1]
    confusion = np.zeros((size, size))
    np.add.at(confusion, (truth, probability.argmax(axis=1)), 1)
    concordant, comparable = [], []
    for index in range(size):
        positive = truth == index
        positives, negatives = int(positive.sum()), int((~positive).sum())
        ranks = average_ranks(probability[:, index])
        pairs = positives * negatives
        concordant.append(float(ranks[positive].sum() - positives * (positives + 1) / 2) if pairs else 0.0)
        comparable.append(float(pairs))
    return {
        "cases": [float(len(truth))],
        "confusion": [float(value) for value in confusion.ravel()],
        "concordant": concordant,
        "comparable": comparable,
    }


def average_ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Ranks [n] from 1, ties sharing their mean rank."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group], dtype=np.float64)


def mean_of(values: list[float | None]) -> float | None:
    """The mean of the values that are defined; None where none is."""
    present = [float(value) for value in values if value is not None]
    return sum(present) / len(present) if present else None
