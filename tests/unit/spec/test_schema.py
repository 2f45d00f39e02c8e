"""The JSON Schema that editors use agrees with what the loader accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from mediswarm.spec import Job
from mediswarm.spec.catalogue import JOBS, job_folders

VALIDATOR = Draft202012Validator(Job.model_json_schema())
GOOD = yaml.safe_load((JOBS / "minimal_training_pytorch_cnn" / "job.yml").read_text(encoding="utf-8"))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(Job.model_json_schema())
    assert json.loads(json.dumps(Job.model_json_schema())) == Job.model_json_schema()


@pytest.mark.parametrize("folder", job_folders(), ids=lambda folder: folder.name)
def test_it_accepts_every_shipped_job(folder: Path) -> None:
    VALIDATOR.validate(yaml.safe_load((folder / "job.yml").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "change",
    [
        {"trainig": {}},
        {"workflow": {"name": "fedavg", "rounds": 0}},
        {"workflow": {"name": "fedavgg", "rounds": 3}},
        {"workflow": {"name": "fedavg", "rounds": 3, "prox": 1}},
        {"training": {"batch_size": "many"}},
        {"training": {"optimizer": {"lr": -1}}},
        {"selection": {"metric": "accuracy", "mode": "up"}},
        {"name": "1 job"},
        {"config": None},
    ],
    ids=str,
)
def test_it_refuses_what_the_loader_refuses(change: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(GOOD | change)
    with pytest.raises(ValueError, match="validation error"):
        Job.model_validate(GOOD | change)
