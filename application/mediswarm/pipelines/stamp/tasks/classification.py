"""Which one of the ordered categories a patient has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import cross_entropy
from typing_extensions import override

from mediswarm.models.bags.clam import ClamOutput
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.stamp.tasks.class_scores import (
    balanced_weights,
    score_counts,
    score_metrics,
    score_names,
)
from mediswarm.pipelines.stamp.tasks.interface import Task, category_of, text_of
from mediswarm.pipelines.stamp.tasks.label import Label


class ClassificationConfig(Label):
    """One label with ordered categories."""

    name: Literal["classification"] = Field("classification", description="one label with categories")

    def build(self) -> Classification:
        """The task."""
        return Classification(self)


class Classification(Task):
    """Mutually exclusive categories; a target is `[place of the category]`.

    The loss is cross entropy with each category weighted by the inverse of its global count.
    """

    def __init__(self, config: ClassificationConfig) -> None:
        super().__init__()
        self.config = config

    @property
    @override
    def groups(self) -> tuple[int, ...]:
        return (len(self.config.categories),)

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.config.label,)

    @override
    def contract(self) -> dict[str, Any]:
        return {
            "task": "classification",
            "label": self.config.label,
            "classes": list(self.config.categories),
        }

    @override
    def target(self, row: Mapping[str, str]) -> list[float]:
        text = text_of(row, self.config.label)
        return [float(category_of(text, self.config.label, self.config.categories))]

    @override
    def stratum(self, target: Sequence[float]) -> str:
        return self.config.categories[int(target[0])]

    @property
    @override
    def expected(self) -> tuple[str, ...]:
        return self.config.categories

    @override
    def statistics(self, targets: torch.Tensor) -> Counts:
        """`class_counts` in the order of the categories."""
        counts = torch.bincount(_places(targets), minlength=self.outputs)
        return {"class_counts": counts.double().tolist()}

    @override
    def loss(self, output: torch.Tensor | ClamOutput, target: torch.Tensor) -> torch.Tensor:
        places = _places(target)
        if isinstance(output, ClamOutput):
            return output.loss(self._bag_loss(output.patients, places), places)
        return self._bag_loss(output, places)

    def _bag_loss(self, output: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        losses = cross_entropy(output.float(), places, reduction="none")
        if counts := self.totals.get("class_counts"):
            losses = losses * losses.new_tensor(balanced_weights(counts, sum(counts)))[places]
        return losses.mean()

    @override
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, categories]."""
        return output.float().softmax(dim=1)

    @property
    @override
    def reported(self) -> tuple[str, ...]:
        return score_names(self.config.categories)

    @property
    @override
    def qualities(self) -> tuple[str, ...]:
        return score_names(self.config.categories, counts=False)

    @override
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        return score_counts(predictions.numpy(), _places(targets).numpy().astype(np.int64))

    @override
    def metrics(self, counts: Counts) -> dict[str, float | None]:
        return score_metrics(counts, self.config.categories)

    @override
    def prediction_columns(self) -> list[str]:
        return [f"p_{name}" for name in self.config.categories]


def _places(target: torch.Tensor) -> torch.Tensor:
    """Targets [n] or [n, 1] as indices [n]."""
    return target.reshape(-1).long()
