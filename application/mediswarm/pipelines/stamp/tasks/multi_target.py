"""Several labels of a patient at once, each with categories of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from torch.nn.functional import cross_entropy
from typing_extensions import override

from mediswarm.errors import DataError
from mediswarm.pipelines.classification import mean_of
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.stamp.tasks.class_scores import (
    SUMMARIES,
    balanced_weights,
    score_counts,
    score_metrics,
    score_names,
)
from mediswarm.pipelines.stamp.tasks.interface import Task, category_of
from mediswarm.pipelines.stamp.tasks.label import Label, different
from mediswarm.spec import Strict

_UNKNOWN = -1


class MultiTargetConfig(Strict):
    """Several labels with ordered categories."""

    name: Literal["multi_target"] = Field("multi_target", description="several labels with categories")
    targets: tuple[Label, ...] = Field(
        description="the labels; a patient may lack some of them, but not all", min_length=1
    )

    @field_validator("targets")
    @classmethod
    def _different_labels(cls, targets: tuple[Label, ...]) -> tuple[Label, ...]:
        different(tuple(target.label for target in targets))
        names = Counter(
            f"{name}.{target.label}" for target in targets for name in score_names(target.categories)
        )
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"contradiction: metric {twice[0]} would be of two labels; rename one of them")
        return targets

    def build(self) -> MultiTarget:
        """The task."""
        return MultiTarget(self)


class MultiTarget(Task):
    """A target is the place of each label's category, -1 where the cell is empty.

    The loss is the mean over labels of the weighted cross entropy of each, in which a patient
    without the label takes no part.
    """

    def __init__(self, config: MultiTargetConfig) -> None:
        super().__init__()
        self.config = config

    @property
    @override
    def groups(self) -> tuple[int, ...]:
        return tuple(len(target.categories) for target in self.config.targets)

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return tuple(target.label for target in self.config.targets)

    @override
    def contract(self) -> dict[str, Any]:
        return {
            "task": "multi_target",
            "targets": [[target.label, list(target.categories)] for target in self.config.targets],
        }

    @override
    def target(self, row: Mapping[str, str]) -> list[float]:
        places = []
        for target in self.config.targets:
            text = row[target.label].strip()
            places.append(float(category_of(text, target.label, target.categories) if text else _UNKNOWN))
        if max(places) == _UNKNOWN:
            raise DataError("MS-B050", f"the patient has none of {', '.join(self.columns)}")
        return places

    @override
    def stratum(self, target: Sequence[float]) -> str:
        """The first label's category; a stratum for each combination would be of single patients."""
        place = int(target[0])
        return "unknown" if place == _UNKNOWN else self.config.targets[0].categories[place]

    @property
    @override
    def expected(self) -> tuple[str, ...]:
        return self.config.targets[0].categories

    @override
    def statistics(self, targets: torch.Tensor) -> Counts:
        """`cases`, and for each label `class_counts.<label>`."""
        places = targets.long()
        counts: Counts = {"cases": [float(len(targets))]}
        for column, (label, size) in enumerate(zip(self.columns, self.groups, strict=True)):
            known = places[:, column][places[:, column] != _UNKNOWN]
            counts[f"class_counts.{label}"] = torch.bincount(known, minlength=size).double().tolist()
        return counts

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        places, total = target.long(), output.new_zeros((), dtype=torch.float32)
        for column, (label, logits) in enumerate(
            zip(self.columns, torch.split(output.float(), list(self.groups), dim=1), strict=True)
        ):
            losses = cross_entropy(logits, places[:, column], reduction="none", ignore_index=_UNKNOWN)
            if counts := self.totals.get(f"class_counts.{label}"):
                weights = losses.new_tensor(balanced_weights(counts, self.totals["cases"][0]))
                losses = losses * weights[places[:, column].clamp(min=0)]
            total = total + losses.mean()
        return total / len(self.groups)

    @override
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, outputs], label after label."""
        logits = torch.split(output.float(), list(self.groups), dim=1)
        return torch.cat([part.softmax(dim=1) for part in logits], dim=1)

    @property
    @override
    def reported(self) -> tuple[str, ...]:
        """Means over the labels, then each label's own, `<metric>.<label>`."""
        return self._names(counts=True)

    @property
    @override
    def qualities(self) -> tuple[str, ...]:
        return self._names(counts=False)

    def _names(self, *, counts: bool) -> tuple[str, ...]:
        own = [
            f"{metric}.{target.label}"
            for target in self.config.targets
            for metric in score_names(target.categories, counts=counts)
        ]
        return (*SUMMARIES, *own)

    @override
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        places = targets.numpy().astype(np.int64)
        counts: Counts = {}
        for column, (label, part) in enumerate(
            zip(self.columns, torch.split(predictions, list(self.groups), dim=1), strict=True)
        ):
            known = places[:, column] != _UNKNOWN
            scores = score_counts(part.numpy()[known], places[known, column])
            counts |= {f"{name}.{label}": values for name, values in scores.items()}
        return counts

    @override
    def metrics(self, counts: Counts) -> dict[str, float | None]:
        own: dict[str, float | None] = {}
        for target in self.config.targets:
            ending = f".{target.label}"
            scores = {
                name.removesuffix(ending): values for name, values in counts.items() if name.endswith(ending)
            }
            found = score_metrics(scores, target.categories)
            own |= {name + ending: value for name, value in found.items()}
        means = {
            name: mean_of([own[f"{name}.{target.label}"] for target in self.config.targets])
            for name in SUMMARIES
        }
        return means | own

    @override
    def prediction_columns(self) -> list[str]:
        return [f"p_{target.label}_{name}" for target in self.config.targets for name in target.categories]
