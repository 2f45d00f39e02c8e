"""A federation whose provisioning is cheap to repeat."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mediswarm.provision.provisioning import provision
from mediswarm.spec.federation import Federation

DOCUMENT: dict[str, Any] = {
    "name": "demo",
    "server": {"name": "server.example.org", "organisation": "example", "port": 8002, "admin_port": 8003},
    "sites": [
        {"name": "hospital-a", "organisation": "hospital_a"},
        {"name": "hospital-b", "organisation": "hospital_b", "allow_job_code": True},
    ],
    "admins": [
        {"name": "operator@example.org", "organisation": "example", "role": "project_admin"},
        {"name": "lead@example.org", "organisation": "example", "role": "lead"},
    ],
    "images": {"sites": f"mediswarm/cifar10@sha256:{'a' * 64}", "server": "mediswarm/server:1"},
    "network": "swarm",
    "validity": {"authority_days": 1000, "participant_days": 100},
}


def federation(**sections: Any) -> Federation:
    """The federation of these tests, with sections replaced."""
    return Federation.model_validate(DOCUMENT | sections)


@pytest.fixture(scope="session")
def provisioned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the federation as first provisioned; only to be read."""
    out = tmp_path_factory.mktemp("provisioned")
    provision(federation(), out)
    return out


@pytest.fixture
def provisioned(provisioned_once: Path, tmp_path: Path) -> Path:
    """A copy of it to work on."""
    return Path(shutil.copytree(provisioned_once, tmp_path / "demo"))
