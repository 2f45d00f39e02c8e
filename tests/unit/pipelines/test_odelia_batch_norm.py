"""What batch normalisation becomes in a federation: kept at the sites, or gone before the first model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from tests.odelia_job import OdeliaJob

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import JobError
from mediswarm.pipelines import Site
from mediswarm.pipelines.odelia import OdeliaConfig
from mediswarm.training.crossing import Contribution, Order
from mediswarm.training.site_run import SiteRun

SITES = ["north", "south"]
RUNNING = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def crossed(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The names of all tensors in every order and every contribution."""
    names: list[set[str]] = []
    contribute = SiteRun.contribute

    def watched(self: SiteRun, order: Order) -> Contribution:
        answer = contribute(self, order)
        names.append(set(order.weights) | set(answer.update))
        return answer

    monkeypatch.setattr(SiteRun, "contribute", watched)
    return names


def run(odelia_job: OdeliaJob, folder: Path, **config: Any) -> ReferenceRun:
    job, data = odelia_job(rounds=2, **config)
    reference = ReferenceRun(job, [Site(name, data) for name in SITES], folder)
    reference.run()
    return reference


def test_local_batch_norms_never_leave_their_site(
    odelia_job: OdeliaJob, tmp_path: Path, crossed: list[set[str]]
) -> None:
    reference = run(odelia_job, tmp_path, batch_norm="local")
    own = {f"blocks.{block}.1.{name}" for block in range(4) for name in ("weight", "bias", *RUNNING)}
    models = {}
    for name, site in reference.sites.items():
        assert site.learner is not None
        models[name] = site.learner.weights()
        assert own < models[name].keys()
    assert len(crossed) == 4
    assert all(names == models["north"].keys() - own for names in crossed)
    differ = {name for name in own if not torch.equal(models["north"][name], models["south"][name])}
    assert differ >= {name for name in own if not name.endswith("num_batches_tracked")}
    # in the shared model on disk they are as they were made; each site keeps its own model beside it
    saved = safetensors.torch.load_file(tmp_path / "last" / "model.safetensors")
    assert not any(saved[name].any() for name in own if name.endswith("running_mean"))
    kept = safetensors.torch.load_file(
        tmp_path / "sites" / "north" / "personal" / "last" / "model.safetensors"
    )
    assert torch.equal(kept["blocks.0.1.running_mean"], models["north"]["blocks.0.1.running_mean"])


def test_with_group_norm_there_are_no_statistics(
    odelia_job: OdeliaJob, tmp_path: Path, crossed: list[set[str]]
) -> None:
    reference = run(odelia_job, tmp_path, batch_norm="group")
    assert all(names == reference.weights.keys() for names in crossed)
    assert not [name for name in reference.weights if name.endswith(RUNNING)]
    saved = safetensors.torch.load_file(tmp_path / "last" / "model.safetensors")
    assert saved.keys() == reference.weights.keys()


def test_the_ordinal_head_gives_the_same_files(odelia_job: OdeliaJob, tmp_path: Path) -> None:
    run(odelia_job, tmp_path, head="ordinal")
    predictions = tmp_path / "sites" / "north" / "predictions" / "validation.csv"
    lines = predictions.read_text().splitlines()
    assert lines[0] == "case,target,p_none,p_benign,p_malignant"
    for line in lines[1:]:
        assert sum(map(float, line.split(",")[2:])) == pytest.approx(1.0)


def test_a_batch_of_one_whose_last_stage_is_one_voxel_is_refused(
    odelia_job: OdeliaJob, tmp_path: Path
) -> None:
    """Seven training cases in batches of 2 leave one; 8 voxels are halved to one before the last block."""
    small = {"input_size": [8, 8, 8], "backbone": {"name": "cnn3d", "width": 4}}
    job, data = odelia_job(rounds=1, **small)
    job = job.varied(training=job.training.model_copy(update={"batch_size": 2}))
    with pytest.raises(JobError) as caught:
        ReferenceRun(job, [Site("north", data)], tmp_path / "run").run()
    assert caught.value.code == "MS-J016"
    assert "7 training cases in batches of 2 leave a batch of one" in caught.value.message
    assert "batch_norm: group" in caught.value.repair
    for batch_size, norm in ((4, "federate"), (2, "group")):
        fits = job.varied(
            config=job.config | {"batch_norm": norm},
            training=job.training.model_copy(update={"batch_size": batch_size}),
        )
        record = ReferenceRun(fits, [Site("north", data)], tmp_path / norm).run()
        assert record["state"] == "succeeded"


def test_instance_norm_of_one_voxel_is_refused_whatever_the_batch() -> None:
    cnn = {"name": "cnn3d", "width": 4, "norm": "instance"}
    with pytest.raises(ValidationError, match="an axis of more than 8 voxels"):
        OdeliaConfig.model_validate({"input_size": [8, 8, 8], "backbone": cnn})
    config = OdeliaConfig.model_validate({"input_size": [9, 8, 8], "backbone": cnn})
    assert config.backbone.build(1, 3, config.input_size)(torch.randn(2, 1, 9, 8, 8)).shape == (2, 3)
