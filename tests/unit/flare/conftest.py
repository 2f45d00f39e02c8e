"""As much of NVFlare's context as our components ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Workspace:
    root: Path

    def get_root_dir(self) -> str:
        return str(self.root)

    def get_app_dir(self, job_id: str) -> str:
        return str(self.root / job_id / "app")

    def get_run_dir(self, job_id: str) -> str:
        return str(self.root / job_id)


@dataclass
class Context:
    root: Path
    name: str = "berlin"

    def get_workspace(self) -> Workspace:
        return Workspace(self.root)

    def get_job_id(self) -> str:
        return "job-1"

    def get_identity_name(self) -> str:
        return self.name


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """A site's context; the app of its job lies under `root/job-1/app`."""
    return Context(tmp_path / "workspace")
