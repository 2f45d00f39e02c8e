"""Predictions of one split as CSV: with case ids, therefore kept at the site."""

from __future__ import annotations

import csv
from pathlib import Path

from mediswarm.pipelines.base import Cases
from mediswarm.pipelines.learner import Predictions


def write_predictions(path: Path, cases: Cases, predictions: Predictions, columns: list[str]) -> None:
    """Write `case,target,<columns>` with one row for each case, in the cases' order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = predictions.outputs.reshape(len(cases), -1).tolist()
    targets = predictions.targets.tolist()
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "target", *columns])
        for case, target, values in zip(cases.ids, targets, rows, strict=True):
            writer.writerow([case, target, *(f"{value:.9g}" for value in values)])
