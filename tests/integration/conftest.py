"""Jobs for runs through NVFlare's simulator."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediswarm.spec import Job, load_job

JOBS = Path(__file__).parents[2] / "application" / "jobs"

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """A copy of the minimal job with sections replaced: `make_job(workflow={...}, training={...})`."""

    def make(**sections: Any) -> Job:
        folder = tmp_path / "jobs" / "minimal_training_pytorch_cnn"
        shutil.copytree(JOBS / folder.name, folder, dirs_exist_ok=True)
        document = yaml.safe_load((folder / "job.yml").read_text())
        (folder / "job.yml").write_text(yaml.safe_dump(document | sections))
        return load_job(folder)

    return make
