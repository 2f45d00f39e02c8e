"""A run from pretrained weights: the server has the file, and sites get the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mediswarm.errors import ArtefactError
from mediswarm.flare.simulator import simulate
from mediswarm.flare.site_settings import WEIGHTS_DIR
from mediswarm.pipelines import load_pipeline
from mediswarm.training.site_run import initial_weights
from mediswarm.training.weights_store import add_weights

SITES = ["alpha", "beta"]


@pytest.mark.simulator
def test_the_server_starts_from_its_store(
    make_job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nothing moves in one step this small: what comes back is what the file held
    small = {"local": {"steps": 1}, "optimizer": {"name": "sgd", "lr": 1e-5}}
    job = make_job(config={"cases": 40}, training=small, workflow={"name": "fedavg", "rounds": 1})
    pretrained = {
        name: value + 0.5 for name, value in initial_weights(job, load_pipeline(job), {})[0].items()
    }
    safetensors.torch.save_file(pretrained, tmp_path / "file.safetensors")
    sha256 = add_weights(tmp_path / "file.safetensors", "net", tmp_path / "store").sha256

    monkeypatch.setenv(WEIGHTS_DIR, str(tmp_path / "store"))
    simulate(job.varied(pretrained={"sha256": sha256}), SITES, tmp_path / "run")
    found = safetensors.torch.load_file(tmp_path / "run" / "last" / "model.safetensors")
    for name, value in pretrained.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-3)

    monkeypatch.setenv(WEIGHTS_DIR, str(tmp_path / "another"))
    with pytest.raises(ArtefactError) as caught:
        simulate(job.varied(pretrained={"sha256": sha256}), SITES, tmp_path / "without")
    assert caught.value.code == "MS-G003"
