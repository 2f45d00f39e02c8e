"""The policies of batch normalisation through NVFlare give what the reference loop gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from tests.odelia_job import OdeliaJob

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.flare.simulator import simulate
from mediswarm.pipelines import Site, Weights

SITES = ["north", "south"]
RUNNING = ("running_mean", "running_var", "num_batches_tracked")


def model_in(folder: Path) -> Weights:
    return dict(safetensors.torch.load_file(folder / "last" / "model.safetensors"))


@pytest.mark.simulator
@pytest.mark.parametrize("policy", ["group", "local"])
def test_nvflare_equals_reference(policy: str, odelia_job: OdeliaJob, tmp_path: Path) -> None:
    job, data = odelia_job(rounds=2, batch_norm=policy)
    reference = ReferenceRun(job, [Site(name, data) for name in SITES], tmp_path / "reference")
    reference.run()
    record = simulate(job, SITES, tmp_path / "nvflare", data)
    assert [entry["contributed"] for entry in record["rounds"]] == [SITES] * 2
    assert_same(model_in(tmp_path / "nvflare"), model_in(tmp_path / "reference"))
    if policy == "group":
        assert not [name for name in reference.weights if "running" in name]
        return
    expected, found = (
        {name: model_in(tmp_path / run / "sites" / name / "personal") for name in SITES}
        for run in ("reference", "nvflare")
    )
    for name in SITES:
        assert_same(found[name], expected[name])
    own = [name for name in found["north"] if name not in reference.weights]
    assert {name.rpartition(".")[2] for name in own} == {"weight", "bias", *RUNNING}
    for name in own:
        assert torch.equal(found["north"][name], found["south"][name]) is name.endswith("num_batches_tracked")


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
