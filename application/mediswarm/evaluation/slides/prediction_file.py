"""Predictions of a site's patients under the column names that STAMP gives them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mediswarm.evaluation.slides.judged import JudgedPatients, Label, labels_of
from mediswarm.pipelines.stamp.tasks import Task
from mediswarm.pipelines.stamp.tasks.patient_columns import patient_columns


def write_patient_predictions(path: Path, task: Task, judged: JudgedPatients) -> None:
    """Write one row for each patient; the file holds ids, and stays at the site.

    Columns are those of :func:`patient_columns`. A label that is not known is empty. Of survival, time and
    status (1 an event, 0 censored) are those after the job's censoring, and `pred` is the log risk.
    """
    labels, columns = labels_of(task, judged), [list(judged.ids)]
    for label in labels:
        columns += _columns(label)
    if not labels:
        columns += [_numbers(column) for column in judged.targets.reshape(len(judged), -1).T.tolist()]
        columns.append(_numbers(judged.predictions.reshape(-1).tolist()))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(patient_columns(task))
        writer.writerows(zip(*columns, strict=True))


def _columns(label: Label) -> list[list[str]]:
    truth = [label.categories[place] if place >= 0 else "" for place in label.truth]
    decided = [label.categories[place] for place in label.probabilities.argmax(axis=1)]
    return [truth, decided, *(_numbers(column) for column in label.probabilities.T.tolist())]


def _numbers(values: Sequence[float]) -> list[str]:
    """The fewest digits that tell float32 numbers apart: 0.3, not 0.300000012; nothing for NaN."""
    return ["" if np.isnan(value) else str(np.float32(value)).removesuffix(".0") for value in values]
