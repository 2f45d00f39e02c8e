"""Every workflow through NVFlare gives the weights of the plain-Python reference loop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.flare.simulator import simulate
from mediswarm.pipelines import Site

SITES = ["alpha", "beta", "gamma"]
PLAIN_SGD = {"name": "sgd", "lr": 0.05}
ADAMW = {"name": "adamw", "lr": 0.003}

WORKFLOWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fedavg": ({"name": "fedavg"}, ADAMW),
    "fedprox": ({"name": "fedavg", "proximal_mu": 0.1}, PLAIN_SGD),
    "fedavg-steps": ({"name": "fedavg", "weights": "steps"}, {**PLAIN_SGD, "momentum": 0.9}),
    "fedopt-sgd": (
        {"name": "fedopt", "server_optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.9}},
        PLAIN_SGD,
    ),
    "fedopt-adam": ({"name": "fedopt", "server_optimizer": {"name": "adam", "lr": 0.01}}, PLAIN_SGD),
    "fedopt-yogi": ({"name": "fedopt", "server_optimizer": {"name": "yogi", "lr": 0.01}}, PLAIN_SGD),
    "fedopt-adagrad": ({"name": "fedopt", "server_optimizer": {"name": "adagrad", "lr": 0.01}}, PLAIN_SGD),
    "scaffold": ({"name": "scaffold"}, PLAIN_SGD),
    "cyclic": ({"name": "cyclic"}, PLAIN_SGD),
    "swarm": ({"name": "swarm"}, ADAMW),
}


@pytest.mark.simulator
@pytest.mark.parametrize("name", WORKFLOWS)
def test_nvflare_equals_reference(
    name: str, make_job: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow, optimizer = WORKFLOWS[name]
    job = make_job(
        workflow={**workflow, "rounds": 3},
        training={"local": {"epochs": 1}, "batch_size": 16, "optimizer": optimizer, "seed": 7},
        config={"cases": 60},
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        reference = ReferenceRun(job, [Site(site) for site in SITES], tmp_path / "reference")
        expected_record = reference.run()
    finally:
        torch.set_num_threads(threads)
    record = simulate(job, SITES, tmp_path / "nvflare")

    expected = reference.weights
    found = safetensors.torch.load_file(tmp_path / "nvflare" / "last" / "model.safetensors")
    initial = ReferenceRun(job, [Site(site) for site in SITES], tmp_path / "untrained")
    initial.centre.admit({site: run.introduce() for site, run in initial.sites.items()}, {})
    moved = max(float((expected[key] - value).abs().max()) for key, value in initial.weights.items())
    difference = max(float((found[key] - value).abs().max()) for key, value in expected.items())
    with capsys.disabled():
        sys.stdout.write(f"\n  {name}: max abs difference {difference:.2e}, moved {moved:.2e} ")
    assert found.keys() == expected.keys()
    assert difference < 1e-6
    assert moved > 1e-3
    assert [entry["contributed"] for entry in record["rounds"]] == [SITES] * 3
    assert record["best"]["model"] == expected_record["best"]["model"]
    assert record["best"]["value"] == pytest.approx(expected_record["best"]["value"])
    for site in SITES:
        assert (tmp_path / "nvflare" / "sites" / site / "predictions" / "test.csv").is_file()
