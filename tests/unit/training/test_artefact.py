"""A model on disk says what it is, and loads into nothing else (E2)."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mediswarm.errors import ArtefactError
from mediswarm.pipelines import load_pipeline
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Job, sha256_of_file
from mediswarm.training.artefact import architecture_of, describe_artefact, load_artefact
from mediswarm.training.model_store import ModelStore
from mediswarm.training.site_run import initial_weights


@pytest.fixture
def job(make_job: Any) -> Job:
    found: Job = make_job()
    return found


@pytest.fixture
def initial(job: Job) -> Weights:
    return initial_weights(job, load_pipeline(job), {})[0]


@pytest.fixture
def store(job: Job, tmp_path: Path) -> ModelStore:
    """A store with a saved `last`."""
    pipeline = load_pipeline(job)
    weights, _, kind = initial_weights(job, pipeline, {})
    store = ModelStore(tmp_path / "run", job, pipeline, weights, kind)
    store.save_last(weights, 3)
    store.wait()
    return store


def load(folder: Path, job: Job) -> dict[str, torch.Tensor]:
    """Load as a program would that holds only the job."""
    pipeline = load_pipeline(job)
    weights, _, kind = initial_weights(job, pipeline, {})
    loaded, _ = load_artefact(folder, job, pipeline.contract(), architecture_of(weights, kind))
    return loaded


def test_what_was_saved_is_loaded(store: ModelStore, initial: Weights, job: Job) -> None:
    loaded = load(store.folder / "last", job)
    assert loaded.keys() == initial.keys()
    assert all(torch.equal(loaded[name], value) for name, value in initial.items())


def test_the_artefact_says_what_it_is(store: ModelStore, job: Job) -> None:
    said = describe_artefact(store.folder / "last")
    assert (said.job, said.job_hash, said.round) == (job.name, job.hash, 3)
    assert (said.pipeline, said.config) == ("./pipeline.py", {"cases": 120})
    assert said.contract == {"classes": ["empty", "left", "right"], "input_shape": [1, 16, 16]}
    assert said.architecture.startswith("Sequential:")
    assert (said.metric, said.value) == ("auroc_macro", None)
    assert said.sha256 == sha256_of_file(store.folder / "last" / "model.safetensors")


def test_no_pickle_is_written(store: ModelStore, initial: Weights) -> None:
    files = {path.name for path in (store.folder / "last").iterdir()}
    assert files == {"model.json", "model.safetensors"}
    weights = store.folder / "last" / "model.safetensors"
    assert not zipfile.is_zipfile(weights)
    size = int.from_bytes(weights.read_bytes()[:8], "little")
    assert json.loads(weights.read_bytes()[8 : 8 + size]).keys() >= initial.keys()


def test_the_best_model_is_the_last_one_promoted(store: ModelStore, initial: Weights) -> None:
    store.promote(0.75)
    best, last = (describe_artefact(store.folder / which) for which in ("best", "last"))
    assert replace(best, value=None) == last
    assert best.value == 0.75
    changed = {name: value + 1 for name, value in initial.items()}
    store.save_last(changed, 4)
    store.wait()
    kept, now = store.load("best"), store.load("last")
    assert all(torch.equal(kept[name], value) for name, value in initial.items())
    assert all(torch.equal(now[name], value) for name, value in changed.items())


def test_parameters_that_stay_local_keep_their_initial_values_in_the_artefact(
    job: Job, initial: Weights, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path / "other", job, load_pipeline(job), initial, "Sequential")
    name = next(iter(initial))
    for model in (4, 5):
        store.save_last({name: initial[name] + 1}, model)
    loaded = store.load("last")
    assert torch.equal(loaded[name], initial[name] + 1)
    assert all(torch.equal(loaded[other], value) for other, value in initial.items() if other != name)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"config": {"cases": 120, "channels": 4}}, "config"),
        ({"config": {"cases": 60}}, "config"),
        ({"pipeline": "cifar10"}, "pipeline"),
    ],
)
def test_another_job_is_refused_by_what_differs(
    change: dict[str, Any], differs: str, store: ModelStore, job: Job
) -> None:
    other = job.varied(**change)
    with pytest.raises(ArtefactError, match=f"checkpoint's {differs} is") as caught:
        load_artefact(store.folder / "last", other, store.pipeline.contract(), store.architecture)
    assert caught.value.code == "MS-A002"
    assert caught.value.file == str(store.folder / "last" / "model.json")
    assert "job it was trained by" in caught.value.repair


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ('("empty", "left", "right")', '("empty", "right", "left")', "contract"),
        (
            "nn.ReLU(),\n            nn.Flatten()",
            "nn.ReLU(),\n            nn.ReLU(),\n            nn.Flatten()",
            "architecture",
        ),
        ("nn.Conv2d(1, width, 5, padding=2)", "nn.Conv2d(1, width, 3, padding=1)", "architecture"),
    ],
    ids=["order of the classes", "another layer", "another kernel size"],
)
def test_other_code_is_refused(old: str, new: str, differs: str, store: ModelStore, job: Job) -> None:
    code = job.folder / "pipeline.py"
    text = code.read_text()
    assert text.count(old) == 1
    code.write_text(text.replace(old, new))
    with pytest.raises(ArtefactError, match=f"checkpoint's {differs} is") as caught:
        load(store.folder / "last", job)
    assert caught.value.code == "MS-A002"


def test_a_run_of_other_length_or_workflow_loads_it(store: ModelStore, job: Job) -> None:
    assert load(store.folder / "last", job.varied(workflow={"name": "swarm", "rounds": 9}))


def test_truncated_weights(store: ModelStore, job: Job) -> None:
    weights = store.folder / "last" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ArtefactError) as caught:
        load(store.folder / "last", job)
    assert (caught.value.code, caught.value.file) == ("MS-A003", str(weights))


def test_changed_weights(store: ModelStore, job: Job) -> None:
    weights = store.folder / "last" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtefactError) as caught:
        load(store.folder / "last", job)
    assert caught.value.code == "MS-A003"


def test_missing_weights(store: ModelStore, job: Job) -> None:
    (store.folder / "last" / "model.safetensors").unlink()
    with pytest.raises(ArtefactError) as caught:
        load(store.folder / "last", job)
    assert caught.value.code == "MS-A003"


def test_weights_that_are_a_pickle_are_not_opened(store: ModelStore, initial: Weights, job: Job) -> None:
    weights = store.folder / "last" / "model.safetensors"
    torch.save(initial, weights)
    said = json.loads((store.folder / "last" / "model.json").read_text())
    said["sha256"] = sha256_of_file(weights)
    (store.folder / "last" / "model.json").write_text(json.dumps(said))
    with pytest.raises(ArtefactError) as caught:
        load(store.folder / "last", job)
    assert caught.value.code == "MS-A003"


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"{}", b'{"job": "x"}', b"\xff\xfe"], ids=["missing", *"abcdef"]
)
def test_a_missing_or_unreadable_description(content: bytes | None, store: ModelStore, job: Job) -> None:
    file = store.folder / "last" / "model.json"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(ArtefactError) as caught:
        load(store.folder / "last", job)
    assert (caught.value.code, caught.value.file) == ("MS-A001", str(file))
    assert "copy both again" in caught.value.repair


@pytest.mark.parametrize("fails", ["weights", "description"])
def test_a_full_disk_leaves_the_former_model_whole(
    fails: str, store: ModelStore, initial: Weights, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if fails == "weights":
            patched.setattr(safetensors.torch, "save_file", full_disk)
        else:
            patched.setattr(Path, "write_text", full_disk)
        changed = {name: value + 1 for name, value in initial.items()}
        store.save_last(changed, 4)
        with pytest.raises(OSError, match="No space"):
            store.wait()
    loaded = load(store.folder / "last", job)
    assert all(torch.equal(loaded[name], value) for name, value in initial.items())
