"""The tasks of pathology through NVFlare: what the simulator trains is what the reference loop trains."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.data.bags.synthetic_bags import BagSize, SyntheticBagSite, write_synthetic_bags
from mediswarm.flare.simulator import simulate
from mediswarm.pipelines import Site
from mediswarm.spec import FedAvg, Job, load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.spec.workflow import Workflow

pytestmark = pytest.mark.simulator
SITES = ("north", "south")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sites = [SyntheticBagSite(name, (10, 8, 6), shift=1.0, gain=1.0) for name in SITES]
    folder = tmp_path_factory.mktemp("cohort") / "data"
    write_synthetic_bags(folder, 0, sites, BagSize(tiles=(10, 30), features=16))
    return folder


def small(name: str) -> Job:
    """A shipped job with a small network, for two rounds."""
    job = load_job(JOBS / name)
    config: Any = job.config | {
        "features": {"extractor": "synthetic", "dimension": 16},
        "model": {"name": "vit", "width": 32, "heads": 2, "hidden": 32},
        "bag_size": 16,
    }
    return job.varied(config=config, workflow=job.workflow.model_copy(update={"rounds": 2}))


@pytest.mark.parametrize("name", ["STAMP_classification", "STAMP_survival", "STAMP_regression"])
def test_a_task_through_nvflare(name: str, cohort: Path, tmp_path: Path) -> None:
    job = small(name)
    record = simulate(job, list(SITES), tmp_path / "flare", cohort)
    assert record["state"] == "succeeded"
    assert all(entry["contributed"] == list(SITES) for entry in record["rounds"])
    reference = ReferenceRun(job, [Site(site, cohort) for site in SITES], tmp_path / "reference")
    assert reference.run()["best"]["value"] == pytest.approx(record["best"]["value"], abs=1e-4)
    weights = safetensors.torch.load_file(tmp_path / "flare" / "last" / "model.safetensors")
    for key, value in reference.weights.items():
        torch.testing.assert_close(weights[key], value, rtol=0, atol=1e-6)
    with (tmp_path / "flare" / "sites" / "north" / "predictions" / "test.csv").open() as stream:
        assert list(csv.DictReader(stream))


@pytest.mark.parametrize("workflow", ["fedavg", "swarm"])
def test_the_risk_set_of_all_sites_through_nvflare(workflow: str, cohort: Path, tmp_path: Path) -> None:
    """Every round begins with risks summed over the sites; the model travels once all the same."""
    job = small("STAMP_survival")
    task: Any = job.config["task"]
    document = {"name": workflow, "rounds": 3, "weights": "cases"}
    job = job.varied(
        config=job.config | {"task": task | {"risk_set": "federation"}},
        workflow=TypeAdapter(Workflow).validate_python(document),
    )
    record = simulate(job, list(SITES), tmp_path / "flare", cohort)
    assert record["state"] == "succeeded"
    assert all(entry["contributed"] == list(SITES) for entry in record["rounds"])
    # a swarm's server has no model; what the sites make of the rounds is that of averaging
    centre = job.varied(workflow=FedAvg(rounds=3)) if workflow == "swarm" else job
    reference = ReferenceRun(centre, [Site(site, cohort) for site in SITES], tmp_path / "reference")
    reference.run()
    last = tmp_path / "flare" / ("sites/north/last" if workflow == "swarm" else "last")
    weights = safetensors.torch.load_file(last / "model.safetensors")
    for key, value in reference.weights.items():
        torch.testing.assert_close(weights[key], value, rtol=0, atol=1e-6)
    with (tmp_path / "flare" / "contributions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    bytes_of_model = sum(value.numel() * 4 for value in reference.weights.values())
    assert {int(row["received_bytes"]) for row in rows} <= {0, bytes_of_model}
