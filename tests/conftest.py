"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.odelia_job import OdeliaJob, write_odelia_job

from mediswarm.spec import Job, load_job
from mediswarm.spec.federation import Federation

JOBS = Path(__file__).parents[1] / "application" / "jobs"

MakeJob = Callable[..., Job]
MakeFederation = Callable[..., Path]


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


@pytest.fixture
def odelia_job(tmp_path_factory: pytest.TempPathFactory) -> OdeliaJob:
    """A small ODELIA job and data of two sites: `job, data = odelia_job(rounds=2, batch_norm="group")`."""
    return lambda rounds, **config: write_odelia_job(tmp_path_factory.mktemp("odelia"), rounds, **config)


@pytest.fixture(scope="session")
def make_federation(tmp_path_factory: pytest.TempPathFactory) -> MakeFederation:
    """Real startup kits: `make_federation(sites=["site-1"], port=…)` gives the folder of the kits.

    It holds a folder `localhost` (server), one for each site, and `admin@example.org`. Sites run the
    code that jobs bring along, unless `allow_job_code` is False; other sections replace the file's.
    """
    from mediswarm.provision.provisioning import provision

    def make(
        server: str = "localhost",
        port: int = 8002,
        sites: Sequence[str] = ("site-1", "site-2"),
        allow_job_code: bool = True,
        out: Path | None = None,
        **sections: Any,
    ) -> Path:
        document = {
            "name": "test",
            "server": {"name": server, "organisation": "example", "port": port},
            "sites": [
                {"name": name, "organisation": "example", "allow_job_code": allow_job_code} for name in sites
            ],
            "admins": [{"name": "admin@example.org", "organisation": "example"}],
            "images": {"sites": "mediswarm/cifar10:test"},
        }
        federation = Federation.model_validate(document | sections)
        return provision(federation, out or tmp_path_factory.mktemp("federation")).kits

    return make
