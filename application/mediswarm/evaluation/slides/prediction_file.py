"""Predictions of a site's patients under the column names that STAMP gives them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from mediswarm.evaluation.slides.judged import JudgedPatients, Label, labels_of
from mediswarm.pipelines.stamp.tasks import Task
from mediswarm.pipelines.stamp.tasks.multi_target import MultiTarget


def write_patient_predictions(path: Path, task: Task, judged: JudgedPatients) -> None:
    """Write one row for each patient; the file holds ids, and stays at the site.

    Classification: `PATIENT,<label>,pred,<label>_<category>…`, with several labels
    `PATIENT,<label>,pred_<label>,<label>_<category>…,<label>…`, a label that is not known being empty.
    Regression: `PATIENT,<label>,pred`. Survival: `PATIENT,<time>,<status>,pred`, the time and status (1 an
    event, 0 censored) after the job's censoring, and the log risk.
    """
    labels = labels_of(task, judged)
    several = isinstance(task, MultiTarget)
    header, columns = ["PATIENT"], [list(judged.ids)]
    for label in labels:
        header += [label.name, f"pred_{label.name}" if several else "pred"]
        header += [f"{label.name}_{category}" for category in label.categories]
        columns += _columns(label)
    if not labels:
        header += [*task.columns, "pred"]
        columns += [_numbers(column) for column in judged.targets.reshape(len(judged), -1).T.tolist()]
        columns.append(_numbers(judged.predictions.reshape(-1).tolist()))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))


def _columns(label: Label) -> list[list[str]]:
    truth = [label.categories[place] if place >= 0 else "" for place in label.truth]
    decided = [label.categories[place] for place in label.probabilities.argmax(axis=1)]
    return [truth, decided, *(_numbers(column) for column in label.probabilities.T.tolist())]


def _numbers(values: Sequence[float]) -> list[str]:
    return [f"{value:.9g}" for value in values]
