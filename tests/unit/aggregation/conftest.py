"""Contributions, introductions and judgements as sites would send them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mediswarm import __version__
from mediswarm.pipelines import load_pipeline
from mediswarm.spec import Job
from mediswarm.training.crossing import Contribution, Introduction, Judgement


def contribution(update: dict[str, Any], **fields: Any) -> Contribution:
    """A contribution whose `update` is given as numbers."""
    control = fields.pop("control", None)
    return Contribution(
        **{"round": 0, "cases": 1, "steps": 1, "loss": 1.0} | fields,
        update=tensors(update),
        control=tensors(control) if control is not None else None,
    )


def tensors(values: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name: value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.float32)
        for name, value in values.items()
    }


def introduction(job: Job, **changes: Any) -> Introduction:
    """What a site says that agrees with the job, but for `changes`."""
    pipeline = load_pipeline(job)
    said: dict[str, Any] = {
        "job_hash": job.hash,
        "versions": {"mediswarm": __version__, "pipeline": f"{job.pipeline} {pipeline.version}"},
        "contract": pipeline.contract(),
        "cases": {"train": 10, "validation": 5, "test": 5},
        "statistics": {"class_counts": [4.0, 3.0, 3.0]},
        "metrics": pipeline.reported,
    }
    return Introduction(**said | changes)


def judgement(job: Job, right: int, wrong: int = 0) -> Judgement:
    """Validation counts with `right` cases of class 0 recognised and `wrong` taken for class 1."""
    pipeline: Any = load_pipeline(job)
    size = len(pipeline.classes)
    confusion = [0.0] * size**2
    confusion[0], confusion[1] = float(right), float(wrong)
    cases = float(right + wrong)
    return Judgement(
        {
            "cases": [cases],
            "confusion": confusion,
            "concordant": [0.0] * size,
            "comparable": [0.0] * size,
            "judged_cases": [cases],
            "judged_loss": [cases * 0.5],
        }
    )


@pytest.fixture
def contribute() -> Any:
    return contribution


@pytest.fixture
def introduce() -> Any:
    return introduction


@pytest.fixture
def judge() -> Any:
    return judgement
