"""Pretrained weights in the first model: all of what was asked for, or an error that says what differs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import ArtefactError, JobError
from mediswarm.pipelines import Site, Weights, load_pipeline
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig
from mediswarm.spec import Job
from mediswarm.spec.pretrained import Pretrained
from mediswarm.training.pretrained import renamed, with_pretrained
from mediswarm.training.site_run import initial_weights
from mediswarm.training.weights_store import add_weights

OWN: Weights = {
    "body.0.weight": torch.zeros(2, 3),
    "body.0.count": torch.tensor(0),
    "head.weight": torch.zeros(1, 2),
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def stored(store: Path, tmp_path: Path) -> Any:
    """`stored({...})` adds tensors to the store and gives their digest."""

    def add(tensors: Weights) -> str:
        safetensors.torch.save_file(tensors, tmp_path / "file.safetensors")
        return add_weights(tmp_path / "file.safetensors", f"net-{len(list(store.glob('*')))}", store).sha256

    return add


def taken(store: Path, sha256: str, shared: Weights | None = None, **prefixes: str) -> Weights:
    asked = Pretrained(sha256=sha256, prefixes=prefixes or {"": ""})
    return with_pretrained(OWN, OWN if shared is None else shared, asked, store)


def test_a_part_is_taken_under_its_new_name_and_the_rest_stays(store: Path, stored: Any) -> None:
    sha256 = stored(
        {
            "enc.0.weight": torch.ones(2, 3, dtype=torch.float16),
            "enc.0.count": torch.tensor(7),
            "classifier.weight": torch.ones(1000, 2),
        }
    )
    weights = taken(store, sha256, **{"enc.": "body."})
    assert list(weights) == list(OWN)
    assert weights["body.0.weight"].tolist() == [[1.0] * 3] * 2
    assert weights["body.0.weight"].dtype == torch.float32
    assert int(weights["body.0.count"]) == 7
    assert weights["head.weight"] is OWN["head.weight"]


def test_the_longest_prefix_counts() -> None:
    prefixes = {"": "rest.", "enc.": "body.", "enc.head.": "head."}
    assert renamed("enc.head.weight", prefixes) == "head.weight"
    assert renamed("enc.0", prefixes) == "body.0"
    assert renamed("norm", prefixes) == "rest.norm"
    assert renamed("norm", {"enc.": "body."}) is None


@pytest.mark.parametrize(
    ("tensors", "prefixes", "said"),
    [
        ({"body.0.weight": torch.ones(3, 2)}, {}, r"body.0.weight has shape \(3, 2\), the model's \(2, 3\)"),
        ({"body.0.weight": torch.ones(2, 3)}, {}, "the file lacks body.0.count; the file lacks head.weight"),
        ({"tail": torch.ones(2)}, {"": "body."}, "the model has no body.tail"),
        ({"body.0.weight": torch.ones(2, 3).int()}, {}, "body.0.weight holds torch.int32"),
        ({"x": torch.ones(2)}, {"enc.": "body."}, "none of the file's 1 names begins"),
        ({"a.0": torch.ones(1), "b.0": torch.ones(1)}, {"a.": "z.", "b.": "z."}, "a.0 and another become"),
    ],
)
def test_what_does_not_fit_is_named(
    tensors: Weights, prefixes: dict[str, str], said: str, store: Path, stored: Any
) -> None:
    with pytest.raises(ArtefactError, match=said) as caught:
        taken(store, stored(tensors), **prefixes)
    assert caught.value.code == "MS-G004"


def test_only_the_first_differences_are_named(store: Path, stored: Any) -> None:
    sha256 = stored({f"layer.{index}": torch.ones(1) for index in range(30)})
    with pytest.raises(ArtefactError, match=r"layer.1; .* and 28 more"):
        taken(store, sha256)


def test_a_published_dinov2_becomes_the_slice_encoder(store: Path, stored: Any) -> None:
    backbone = {"name": "mst", "width": 24, "layers": 1, "heads": 2, "image_size": 28, "slice_heads": 3}
    drawn = OdeliaConfig.model_validate({"input_size": [28, 28, 4], "backbone": backbone})
    own = Odelia(drawn).model().state_dict()
    encoder = {name for name in own if name.startswith("slice_encoder.")}
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 24),
        "mask_token": (1, 24),
        "pos_embed": (1, 5, 24),
        "patch_embed.proj.weight": (24, 3, 14, 14),
        "patch_embed.proj.bias": (24,),
        "blocks.0.attn.qkv.bias": (72,),
        "blocks.0.attn.proj.weight": (24, 24),
        "blocks.0.attn.proj.bias": (24,),
        "blocks.0.mlp.fc1.weight": (96, 24),
        "blocks.0.mlp.fc1.bias": (96,),
        "blocks.0.mlp.fc2.weight": (24, 96),
        "blocks.0.mlp.fc2.bias": (24,),
        **{f"blocks.0.ls{index}.gamma": (24,) for index in (1, 2)},
        **{f"blocks.0.norm{index}.{kind}": (24,) for index in (1, 2) for kind in ("weight", "bias")},
        **{f"norm.{kind}": (24,) for kind in ("weight", "bias")},
    }
    published = {name: torch.ones(shape) for name, shape in shapes.items()}
    published["blocks.0.attn.qkv.weight"] = torch.arange(72.0).repeat_interleave(24).reshape(72, 24)
    asked = Pretrained(sha256=stored(published), names="dinov2_meta", prefixes={"": "slice_encoder."})
    weights = with_pretrained(own, own, asked, store)
    key = weights["slice_encoder.encoder.layer.0.attention.k_proj.weight"]
    assert key[:, 0].tolist() == list(range(24, 48))
    assert {name for name in own if weights[name] is not own[name]} == encoder
    # under another convention it fits nothing, which is said
    with pytest.raises(ArtefactError, match="the model has no slice_encoder") as caught:
        with_pretrained(own, own, asked.model_copy(update={"names": "dinov2_hugging_face"}), store)
    assert caught.value.code == "MS-G004"


def test_what_stays_at_the_sites_would_not_reach_them(store: Path, stored: Any) -> None:
    shared = {name: value for name, value in OWN.items() if name != "head.weight"}
    with pytest.raises(ArtefactError, match="1 pretrained tensors stay at the sites") as caught:
        taken(store, stored({name: value + 1 for name, value in OWN.items()}), shared)
    assert caught.value.code == "MS-G006"


# -- in a run ----------------------------------------------------------------------------------------


@pytest.fixture
def job(make_job: Any) -> Job:
    found: Job = make_job(config={"cases": 40}, workflow={"name": "fedavg", "rounds": 1})
    return found


def test_only_the_centre_needs_the_file(job: Job, stored: Any, store: Path, tmp_path: Path) -> None:
    drawn = initial_weights(job, load_pipeline(job), {})[0]
    pretrained = {name: value + 1 for name, value in drawn.items()}
    asks = job.varied(pretrained={"sha256": stored(pretrained)})
    assert asks.hash != job.hash
    sites = [Site("site-1"), Site("site-2")]
    run = ReferenceRun(asks, sites, tmp_path / "run", weights_store=store)
    run.centre.admit({name: site.introduce() for name, site in run.sites.items()}, {})
    assert all(torch.equal(run.weights[name], value) for name, value in pretrained.items())
    shutil.rmtree(store)
    order = run.centre.order(0)
    contributions = {name: site.contribute(order) for name, site in run.sites.items()}
    for name, value in run.sites["site-1"].learner.weights().items():  # type: ignore[union-attr]
        torch.testing.assert_close(value - contributions["site-1"].update[name], pretrained[name])
    # a run that goes on in another segment has its model on disk
    run.centre.close()
    again = ReferenceRun(asks, sites, tmp_path / "run", weights_store=store)
    again.centre.admit({name: site.introduce() for name, site in again.sites.items()}, {})
    assert all(torch.equal(again.weights[name], value) for name, value in pretrained.items())


def test_a_run_without_its_file_says_so(job: Job, store: Path, tmp_path: Path) -> None:
    asks = job.varied(pretrained={"sha256": "0" * 64})
    with pytest.raises(ArtefactError) as caught:
        ReferenceRun(asks, [Site("site-1")], tmp_path / "run", weights_store=store).run()
    assert (caught.value.code, caught.value.file) == ("MS-G003", str(store))


def test_a_swarm_has_no_machine_that_makes_the_first_model(make_job: Any) -> None:
    with pytest.raises(JobError, match="in a swarm every site makes it by itself") as caught:
        make_job(workflow={"name": "swarm", "rounds": 2}, pretrained={"sha256": "0" * 64})
    assert caught.value.code == "MS-J006"
