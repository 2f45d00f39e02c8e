"""Reading a run directory: the record and the contributions, as the report needs them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mediswarm.errors import DataError
from mediswarm.evaluation.run_facts import ALL_SITES, ContributionLine, Point, RunFacts


def read_run(
    folder: Path, *, description: str, classes: Sequence[str], seconds: Mapping[str, float]
) -> RunFacts:
    """What ``run.json`` and ``contributions.csv`` of a run directory say.

    Args:
        folder: the run directory.
        description: the job's clinical question.
        classes: ordered class names of the pipeline.
        seconds: by phase, in order.

    Raises:
        DataError: MS-E008 when there is no record, or the run is not a success.
    """
    record, rows = _read(folder)
    metric, participants = record["best"]["metric"], tuple(record["participants"])
    progress = [
        Point(int(model), ALL_SITES, metric, score[metric]) for model, score in record["scores"].items()
    ]
    progress += [Point(int(row["round"]), row["site"], metric, _number(row["metric"])) for row in rows]
    return RunFacts(
        job=record["job"],
        job_hash=record["job_hash"],
        description=description,
        pipeline=record["versions"]["pipeline"],
        workflow=record["workflow"]["name"],
        rounds=record["workflow"]["rounds"],
        sites=participants,
        classes=tuple(classes),
        metric=metric,
        best_model=record["best"]["model"],
        seconds=dict(seconds),
        version=record["versions"]["mediswarm"],
        finished=datetime.fromisoformat(record["finished"]),
        progress=tuple(progress),
        contributions=tuple(_contribution(row) for row in rows),
    )


def _read(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    file = folder / "run.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        with (folder / "contributions.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError) as error:
        raise DataError("MS-E008", "the run directory has no readable record", file=file) from error
    if record["state"] != "succeeded":
        raise DataError("MS-E008", f"the run's state is {record['state']}", file=file)
    return record, rows


def _contribution(row: Mapping[str, str]) -> ContributionLine:
    return ContributionLine(
        round=int(row["round"]),
        site=row["site"],
        cases=int(row["cases"] or 0),
        steps=int(row["steps"] or 0),
        weight=float(row["weight"] or 0),
        loss=_number(row["loss"]),
        left_out=row["reason"] or None,
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
