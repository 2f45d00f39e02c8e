"""A trained model's predictions for the patients of a site, with the truth."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mediswarm.data.findings import raise_on_failure
from mediswarm.errors import DataError, RunFailed
from mediswarm.evaluation.predictions import Floats, Ints, PredictionTable
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines.base import Cases, Site
from mediswarm.pipelines.stamp.cohort import written_split
from mediswarm.pipelines.stamp.site_files import SiteFiles
from mediswarm.pipelines.stamp.tasks import Task
from mediswarm.pipelines.stamp.tasks.patient_columns import labels_with_categories
from mediswarm.training.batches import ordered_batches

log = logging.getLogger(__name__)

Split = Literal["test", "val", "all"]
_FILES = {"val": "validation.csv", "test": "test.csv"}


@dataclass(frozen=True)
class JudgedPatients:
    """`predictions` [n, …] and `targets` [n, k] as the task gives them; `ids` stay at the site.

    Targets of a patient without any label are NaN.
    """

    ids: tuple[str, ...] = field(repr=False)
    predictions: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def labelled(self) -> JudgedPatients:
        """Those who have a label, by whom predictions can be judged."""
        known = (~self.targets.isnan().any(dim=1)).nonzero().reshape(-1)
        ids = tuple(self.ids[index] for index in known.tolist())
        return JudgedPatients(ids, self.predictions[known], self.targets[known])


@torch.inference_mode()
def judge(trained: TrainedModel, site: Site, split: Split) -> JudgedPatients:
    """Predict the patients of a split, in float32, each from all of its tiles.

    Who is in it is what the run says that the model comes from, else what the site's table or the draw
    that its scratch directory keeps says; `all` are all patients, in a split or not.

    Raises:
        DataError: what the pipeline finds wrong with the site's data; MS-D003 no patients in the split,
            MS-E014 nothing says who is in it, MS-E001 the run's predictions cannot be read.
        ContractError: MS-C001 features that were made in another way than those of the run.
        RunFailed: MS-R004 when a prediction is no finite number.
    """
    cases, measured = _patients(trained, site, split)
    if not len(cases):
        raise DataError("MS-D003", f"site {site.name} has no patients in split {split}")
    trained.require_features(site.name, measured)
    judged = _judge(trained, cases)
    if not torch.isfinite(judged.predictions).all():
        raise RunFailed("MS-R004", "predictions of the model are no finite numbers")
    return judged


def _patients(trained: TrainedModel, site: Site, split: Split) -> tuple[Cases, dict[str, Any]]:
    """The patients in the order of their ids, and what all of the site's files say of themselves."""
    pipeline, folder = trained.pipeline, trained.predicted_by_the_run(site.name)
    if split == "all":
        cohort = pipeline.patients(site)
        return cohort.of(sorted(cohort.targets)), cohort.measured()
    if folder is not None:
        cohort, wanted = pipeline.patients(site), _ids(folder / _FILES[split])
        if gone := wanted - cohort.targets.keys():
            log.warning("site %s: %d patients whom the run predicted are gone", site.name, len(gone))
        return cohort.of(sorted(wanted - gone)), cohort.measured()
    cohort, files = pipeline.patients(site), SiteFiles.of(site.folder, pipeline.config)
    written = written_split(site, files, pipeline.config, pipeline.task, sorted(cohort.targets))
    if written is None:
        raise DataError("MS-E014", f"of site {site.name} there is neither a prediction of the run nor a draw")
    raise_on_failure(written[1])
    return cohort.of(getattr(written[0], split)), cohort.measured()


def _ids(file: Path) -> set[str]:
    """Whom a run predicted; it writes no file for a split without patients."""
    if not file.exists():
        return set()
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return {row["case"] for row in csv.DictReader(stream, strict=True)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DataError("MS-E001", "the run's predictions cannot be read", file=file) from error


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
    named = labels_with_categories(task)
    if not named:
        return []
    parts = torch.split(judged.predictions.double(), list(task.groups), dim=1)
    truth = judged.targets.nan_to_num(nan=-1).long().numpy()
    return [
        Label(label.label, label.categories, part.numpy(), truth[:, column])
        for column, (label, part) in enumerate(zip(named, parts, strict=True))
    ]
