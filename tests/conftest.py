"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediswarm.spec import Job, load_job

JOBS = Path(__file__).parents[1] / "application" / "jobs"

MakeJob = Callable[..., Job]


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; the project ships none of them."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("MEDISWARM_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data are not at {folder}; name their folder in MEDISWARM_TEST_DATA")
    return folder


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """A copy of the minimal job with sections replaced: `make_job(workflow={...}, training={...})`.

    `code` replaces its pipeline.py.
    """

    def make(code: str | None = None, **sections: Any) -> Job:
        folder = tmp_path / "jobs" / "minimal_training_pytorch_cnn"
        shutil.copytree(JOBS / folder.name, folder, dirs_exist_ok=True)
        if code is not None:
            (folder / "pipeline.py").write_text(code, encoding="utf-8")
        document = yaml.safe_load((folder / "job.yml").read_text())
        (folder / "job.yml").write_text(yaml.safe_dump(document | sections))
        return load_job(folder)

    return make
