"""`mediswarm weights add` and `mediswarm job show --tensors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from mediswarm.flare.site_settings import WEIGHTS_DIR
from mediswarm.spec import load_job, sha256_of_file
from mediswarm.spec.catalogue import JOBS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file({"a": torch.ones(3)}, path)
    return path


def test_add_prints_what_a_job_says_to_use_it(mediswarm: Any, file: Path, tmp_path: Path) -> None:
    ended = mediswarm("weights", "add", file, "--name", "net", "--store", tmp_path / "store")
    assert ended.code == 0
    section = yaml.safe_load(ended.out.partition("in job.yml:")[2])
    assert section == {"pretrained": {"sha256": sha256_of_file(file)}}
    job = load_job(job_file(tmp_path, **section))
    assert job.model_dump()["pretrained"] == section["pretrained"] | {
        "names": "model",
        "prefixes": {"": ""},
    }


def test_add_in_json_into_the_store_of_the_environment(
    mediswarm: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_DIR, str(tmp_path / "mine"))
    said = mediswarm("weights", "add", file, "--name", "net", "--json").json
    assert (said["name"], said["sha256"], said["tensors"]) == ("net", sha256_of_file(file), 1)
    assert Path(said["file"]).is_relative_to(tmp_path / "mine")


def test_add_refuses_a_pickle(mediswarm: Any, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "net.pt")
    ended = mediswarm("weights", "add", tmp_path / "net.pt", "--name", "net", "--store", tmp_path / "store")
    assert ended.code == 9
    assert "error[MS-G001]" in ended.err
    assert "safetensors.torch.save_file" in ended.err


def job_file(folder: Path, **changes: Any) -> Path:
    document = yaml.safe_load((JOBS / "odelia_demo" / "job.yml").read_text())
    document["config"] |= changes.pop("config", {})
    target = folder / document["name"]
    target.mkdir()
    (target / "job.yml").write_text(json.dumps(document | changes))
    return target


def test_tensors_say_what_is_federated_and_what_stays(mediswarm: Any, tmp_path: Path) -> None:
    exchange = {"exclude": ["head.*"], "precision": "bfloat16"}
    job = job_file(tmp_path, config={"batch_norm": "local"}, exchange=exchange)
    said = mediswarm("job", "show", job, "--tensors", "--json").json
    tensors = {entry["name"]: entry for entry in said["tensors"]}
    local = {name for name, entry in tensors.items() if not entry["federated"]}
    assert local == {name for name in tensors if name.split(".")[2:3] == ["1"]} | {"head.weight", "head.bias"}
    assert tensors["blocks.0.0.weight"] == {
        "name": "blocks.0.0.weight",
        "shape": [8, 1, 3, 3, 3],
        "dtype": "float32",
        "bytes": 8 * 27 * 4,
        "trained": True,
        "federated": True,
    }
    assert tensors["blocks.0.1.num_batches_tracked"]["bytes"] == 8
    assert not tensors["blocks.0.1.running_mean"]["trained"]
    convolutions = 27 * (8 + 8 * 16 + 16 * 32 + 32 * 64)
    totals = said["totals"]
    assert totals["federated"] == {"tensors": 4, "bytes": 4 * convolutions}
    assert totals["local"]["tensors"] == len(tensors) - 4
    assert totals["exchanged_bytes"] == 2 * convolutions

    ended = mediswarm("job", "show", job, "--tensors")
    lines = ended.out.splitlines()
    assert len(lines) == 1 + len(tensors) + 3
    assert lines[1].split() == ["blocks.0.0.weight", "8x1x3x3x3", "float32", "864", "yes", "federated"]
    assert lines[-3] == f"federated: 4 tensors, {4 * convolutions:,} bytes"


@pytest.mark.parametrize("name", ["linear_transcriptome", "tabular_heart_disease", "cifar10"])
def test_tensors_of_any_pipeline_are_listed(name: str, mediswarm: Any) -> None:
    said = mediswarm("job", "show", name, "--tensors", "--json").json
    assert said["tensors"]
    stays = [entry["name"] for entry in said["tensors"] if not entry["federated"]]
    assert stays == (["standardise.mean", "standardise.scale"] if name.startswith("tabular") else [])


def test_a_pattern_that_fits_nothing_is_named(mediswarm: Any, tmp_path: Path) -> None:
    job = job_file(tmp_path, training={"freeze": ["heed.*"]})
    ended = mediswarm("job", "show", job, "--tensors")
    assert ended.code == 3
    assert "error[MS-J015]" in ended.err
    assert "job.yml" in ended.err
