"""A trained model's predictions for the patients of a site, with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from mediswarm.errors import DataError, RunFailed
from mediswarm.evaluation.predictions import Floats, Ints, PredictionTable
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines.base import Cases, Site
from mediswarm.pipelines.stamp.tasks import Task
from mediswarm.pipelines.stamp.tasks.classification import Classification
from mediswarm.pipelines.stamp.tasks.multi_target import MultiTarget
from mediswarm.training.batches import ordered_batches

Split = Literal["test", "val", "all"]


@dataclass(frozen=True)
class JudgedPatients:
    """`predictions` [n, …] and `targets` [n, k] as the task gives them; `ids` stay at the site."""

    ids: tuple[str, ...] = field(repr=False)
    predictions: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)


@torch.inference_mode()
def judge(trained: TrainedModel, site: Site, split: Split) -> JudgedPatients:
    """Predict the patients of a split, in float32, each from all of its tiles.

    Raises:
        DataError: what the pipeline finds wrong with the site's data; MS-D003 no patients in the split.
        RunFailed: MS-R004 when a prediction is no finite number.
    """
    data = trained.pipeline.data(site)
    splits = {"val": [data.validation], "test": [data.test], "all": [data.train, data.validation, data.test]}
    judged = [_judge(trained, cases) for cases in splits[split] if len(cases)]
    if not judged:
        raise DataError("MS-D003", f"site {site.name} has no patients in split {split}")
    ids = [uid for part in judged for uid in part.ids]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    predictions = torch.cat([part.predictions for part in judged])[order]
    if not torch.isfinite(predictions).all():
        raise RunFailed("MS-R004", "predictions of the model are no finite numbers")
    return JudgedPatients(
        tuple(ids[index] for index in order), predictions, torch.cat([part.targets for part in judged])[order]
    )


def _judge(trained: TrainedModel, cases: Cases) -> JudgedPatients:
    predictions, targets = [], []
    for bag, target in ordered_batches(cases, 1, trained.device):
        output = trained.network({name: part.to(trained.device) for name, part in bag.items()})
        predictions.append(trained.pipeline.predict(output).cpu())
        targets.append(target)
    return JudgedPatients(tuple(cases.ids), torch.cat(predictions), torch.cat(targets))


@dataclass(frozen=True)
class Label:
    """One label with categories: probabilities [n, categories], and the truth's place [n], -1 if unknown."""

    name: str
    categories: tuple[str, ...]
    probabilities: Floats
    truth: Ints

    def table(self, ids: Sequence[str]) -> PredictionTable:
        """The patients whose category is known."""
        known = np.flatnonzero(self.truth >= 0).tolist()
        return PredictionTable(
            self.categories,
            self.truth[known],
            self.probabilities[known],
            tuple(ids[index] for index in known),
        )


def labels_of(task: Task, judged: JudgedPatients) -> list[Label]:
    """The labels of a task with categories; none of another task."""
    if isinstance(task, Classification):
        named = [(task.config.label, task.config.categories)]
    elif isinstance(task, MultiTarget):
        named = [(target.label, target.categories) for target in task.config.targets]
    else:
        return []
    parts = torch.split(judged.predictions.double(), list(task.groups), dim=1)
    truth = judged.targets.reshape(len(judged), -1).long().numpy()
    return [
        Label(name, categories, part.numpy(), truth[:, column])
        for column, ((name, categories), part) in enumerate(zip(named, parts, strict=True))
    ]
