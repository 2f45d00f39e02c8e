"""Every key that a job file may hold says what it means."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mediswarm.pipelines.find import BUILT_IN
from mediswarm.spec import Job


def _keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in {schema["title"]: schema, **schema.get("$defs", {})}.items():
        for key, value in section.get("properties", {}).items():
            yield f"{name}.{key}", value


def test_job_keys_have_a_description() -> None:
    silent = [key for key, value in _keys(Job.model_json_schema()) if not value.get("description")]
    assert silent == []


@pytest.mark.parametrize("pipeline", BUILT_IN)
def test_config_keys_of_built_in_pipelines_have_a_description(pipeline: str, generator: Any) -> None:
    model = importlib.import_module("reference.job_page").config_model(BUILT_IN[pipeline])
    assert [key for key, value in _keys(model.model_json_schema()) if not value.get("description")] == []


def test_every_key_stands_in_the_reference(root: Path) -> None:
    page = (root / "docs" / "job.md").read_text(encoding="utf-8")
    keys = {key.rpartition(".")[2] for key, _ in _keys(Job.model_json_schema())}
    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []


def test_the_schema_for_editors_is_that_of_the_models(root: Path) -> None:
    schema = json.loads((root / "docs" / "job.schema.json").read_text(encoding="utf-8"))
    assert schema["properties"] == Job.model_json_schema()["properties"]
