"""Predictions of one split as CSV: with case ids, therefore kept at the site."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from mediswarm.pipelines.base import Cases, Pipeline
from mediswarm.pipelines.learner import Predictions


def write_predictions(path: Path, pipeline: Pipeline[Any], cases: Cases, predictions: Predictions) -> None:
    """Write `case`, the pipeline's columns of targets and of predictions, one row for each case, in order.

    Where a case has :attr:`Pipeline.parts`, each of them has a row, named `<case>_<part>`.
    """
    parts = pipeline.parts
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{case}_{part}" for case in cases.ids for part in parts] if parts else cases.ids
    rows = predictions.outputs.reshape(len(ids), -1).tolist()
    targets = predictions.targets.reshape(len(ids), -1).tolist()
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", *pipeline.target_columns(), *pipeline.prediction_columns()])
        for case, target, values in zip(ids, targets, rows, strict=True):
            writer.writerow([case, *(f"{value:.9g}" for value in (*target, *values))])
