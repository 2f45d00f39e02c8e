"""Every network of the ODELIA pipeline, small: trained by two sites, saved, reloaded, refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.data.synthetic_odelia import SyntheticSite, write_synthetic_odelia
from mediswarm.errors import ArtefactError, HostError
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.pipelines.odelia import OdeliaConfig
from mediswarm.pipelines.odelia.backbones import Backbone
from mediswarm.spec import Job, LocalWork, Schedule, load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.artefact import architecture_of, load_artefact
from mediswarm.training.site_run import initial_weights

SITES = ("north", "south")
ODD = (37, 33, 9)
SMALL: dict[str, dict[str, Any]] = {
    "densenet121": {"init_features": 8, "growth_rate": 4, "block_config": [1, 1, 1, 1]},
    "cnn3d": {"width": 4},
    "resnet": {"depth": 10, "width": 4},
    "mst": {"width": 24, "layers": 2, "heads": 2, "image_size": 28, "slice_heads": 3},
    "swin_unetr": {"width": 4, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2]},
    "residual_encoder": {"features": [4, 8, 8, 8, 8, 8], "blocks": [1, 2, 1, 1, 1, 1]},
    "mvit": {"width": 8, "blocks": [1, 1, 1, 1]},
    "attention_mil": {"width": 8, "attention": 8},
}
KINDS = {kind.model_fields["name"].default: kind for kind in get_args(get_args(Backbone)[0])}
SHIPPED = {
    "densenet121": "ODELIA_ternary_classification",
    **{name: f"ODELIA_{name}" for name in KINDS if name not in ("densenet121", "cnn3d")},
}


def config_of(name: str, **changed: Any) -> dict[str, Any]:
    size = tuple(max(pair) for pair in zip(ODD, KINDS[name].least_size, strict=True))
    return {"input_size": list(size), "backbone": {"name": name, **SMALL[name]}} | changed


def network(name: str, **changed: Any) -> nn.Module:
    config = OdeliaConfig.model_validate(config_of(name, **changed))
    torch.manual_seed(5)
    try:
        return config.backbone.build(len(config.channels), len(config.classes), config.input_size)
    except HostError as error:
        pytest.skip(error.message)


def volumes(name: str, count: int, channels: int = 1) -> torch.Tensor:
    size = config_of(name)["input_size"]
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(6))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    sites = [SyntheticSite(name, (2, 1, 1), (1, 1, 1), (1, 1, 1), 0.3, 100.0) for name in SITES]
    write_synthetic_odelia(folder, 0, sites)
    return folder


@pytest.fixture
def job(name: str) -> Job:
    """The job that ships with this network, made small, for one round."""
    shipped = load_job(JOBS / SHIPPED.get(name, "odelia_demo"))
    workflow = shipped.workflow.model_copy(update={"rounds": 1})
    # of a run of so few steps the warm-up would take away half
    training = shipped.training.model_copy(update={"schedule": Schedule(), "local": LocalWork(epochs=1)})
    return shipped.varied(config=config_of(name), workflow=workflow, training=training)


def test_every_network_is_tested_and_has_a_job_of_its_own() -> None:
    assert SMALL.keys() == KINDS.keys()
    for name, folder in SHIPPED.items():
        job = load_job(JOBS / folder)
        assert job.config["backbone"]["name"] == name
        assert load_pipeline(job).config.input_size == (224, 224, 32)


@pytest.mark.parametrize("name", KINDS)
def test_a_volume_of_odd_size_goes_forward_and_back(name: str) -> None:
    model, cases = network(name).train(), volumes(name, 3)
    logits = model(cases)
    assert logits.shape == (3, 3)
    logits.logsumexp(dim=1).sum().backward()
    assert [key for key, value in model.named_parameters() if value.grad is None] == []
    model.eval()
    with torch.inference_mode():
        judged = model(cases)
        assert torch.equal(judged, model(cases))
        # a case's answer does not depend on who is in its batch
        torch.testing.assert_close(judged[1:2], model(cases[1:2]), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(judged[0], judged[1], atol=1e-6)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "densenet121"])
def test_a_batch_of_one_case_of_the_least_size_can_be_trained(name: str) -> None:
    size = list(KINDS[name].least_size)
    model = network(name, input_size=size).train()
    if name in ("cnn3d", "swin_unetr", "mst", "attention_mil"):
        assert size == [1, 1, 1]
    if name != "cnn3d":  # whose batch normalisation needs two voxels at each of its blocks
        assert model(torch.randn(1, 1, *size)).isfinite().all()
    assert model.eval()(torch.randn(1, 1, *size)).isfinite().all()


@pytest.mark.parametrize("name", KINDS)
def test_two_sites_train_it_and_what_they_saved_is_theirs(
    name: str, job: Job, data: Path, tmp_path: Path
) -> None:
    model = network(name)
    run = ReferenceRun(job, [Site(site, data) for site in SITES], tmp_path)
    record = run.run()
    assert record["state"] == "succeeded"
    assert record["rounds"][0]["contributed"] == list(SITES)
    store, pipeline = run.centre.store, load_pipeline(job)
    weights, _, kind = initial_weights(job, pipeline, {})
    assert weights.keys() == model.state_dict().keys()
    loaded, _ = load_artefact(tmp_path / "last", job, pipeline.contract(), architecture_of(weights, kind))
    assert all(torch.equal(loaded[key], value) for key, value in run.weights.items())
    assert any(not torch.equal(loaded[key], value) for key, value in weights.items())
    model.load_state_dict(loaded)

    site = Site(SITES[0], data)
    cases, _ = pipeline.data(site).test.dataset[0]
    learner = run.sites[SITES[0]].learner
    assert learner is not None
    learner.load(store.load("last"))
    with torch.inference_mode():
        expected = learner.predict(pipeline.data(site).test).outputs[:1]
        torch.testing.assert_close(
            pipeline.predict(model.eval()(cases[None])), expected, rtol=1e-4, atol=1e-5
        )

    other_name = "cnn3d" if name != "cnn3d" else "attention_mil"
    other_job = job.varied(config=config_of(other_name, input_size=config_of(name)["input_size"]))
    other, _, other_kind = initial_weights(other_job, load_pipeline(other_job), {})
    for wanted, differs in ((other_job, "config"), (job, "architecture")):
        with pytest.raises(ArtefactError, match=f"checkpoint's {differs} is") as caught:
            load_artefact(tmp_path / "last", wanted, pipeline.contract(), architecture_of(other, other_kind))
        assert caught.value.code == "MS-A002"


@pytest.mark.parametrize("name", ["resnet", "residual_encoder", "densenet121", "mvit"])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_volume_below_the_least_size_is_refused(name: str, axis: int) -> None:
    least = list(KINDS[name].least_size)
    OdeliaConfig.model_validate(config_of(name, input_size=least))
    if least[axis] == 1:
        return
    least[axis] -= 1
    with pytest.raises(ValidationError, match=rf"backbone {name} needs at least .*{least[axis] + 1}"):
        OdeliaConfig.model_validate(config_of(name, input_size=least))


@pytest.mark.parametrize("name", ["mst", "mvit"])
def test_networks_for_colour_images_take_one_channel_or_three(name: str) -> None:
    with pytest.raises(ValidationError, match="takes one channel or 3, and channels names 2"):
        OdeliaConfig.model_validate(config_of(name, channels=["Pre", "Sub_1"]))
    model = network(name, channels=["Pre", "Sub_1", "T2"]).eval()
    grey = volumes(name, 2)
    with torch.inference_mode():
        torch.testing.assert_close(model(grey), model(grey.repeat(1, 3, 1, 1, 1)))
        assert not torch.allclose(model(grey), model(volumes(name, 2, channels=3)))


@pytest.mark.parametrize(
    ("backbone", "rule"),
    [
        ({"name": "mst", "width": 384, "heads": 5}, "multiple of heads 5"),
        ({"name": "mst", "width": 18, "heads": 2, "slice_heads": 6}, "twice slice_heads 6"),
        ({"name": "mst", "image_size": 500}, "multiple of 14"),
        ({"name": "swin_unetr", "width": 20}, "the stage's heads"),
        ({"name": "resnet", "depth": 20}, "10, 18, 34, 50, 101 or 152"),
        ({"name": "attention_mil", "width": 12}, "multiple of 8"),
        ({"name": "vgg"}, "does not match any of the expected tags"),
    ],
)
def test_sizes_that_cannot_be_are_refused(backbone: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        OdeliaConfig.model_validate({"backbone": backbone})


def test_without_torchvision_mvit_is_a_coded_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    config = OdeliaConfig.model_validate(config_of("mvit"))
    with pytest.raises(HostError, match="torchvision") as caught:
        config.backbone.build(1, 3, config.input_size)
    assert caught.value.code == "MS-H012"
