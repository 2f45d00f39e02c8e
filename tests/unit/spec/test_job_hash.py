"""The job's hash: the same for the same job however it is written, another for any other job."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mediswarm.spec import Job, canonical_json, load_job, sha256_of_file, sha256_of_json
from mediswarm.spec.catalogue import JOBS, job_folders

NAME = "minimal_training_pytorch_cnn"
DOCUMENT = yaml.safe_load((JOBS / NAME / "job.yml").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(JOBS / NAME, tmp_path / NAME))


def hash_of(folder: Path, text: str) -> str:
    (folder / "job.yml").write_text(text, encoding="utf-8")
    return load_job(folder).hash


def test_layout_comments_and_order_do_not_count(folder: Path) -> None:
    text = (folder / "job.yml").read_text()
    expected = load_job(folder).hash
    assert (
        hash_of(folder, "# a comment\n" + text.replace("batch_size: 16", "batch_size:   16  # small"))
        == expected
    )
    assert hash_of(folder, yaml.safe_dump(dict(reversed(DOCUMENT.items())), sort_keys=False)) == expected
    assert hash_of(folder, json.dumps(DOCUMENT)) == expected


def test_defaults_written_out_do_not_count(folder: Path) -> None:
    job = load_job(folder)
    assert "schedule" not in DOCUMENT["training"]
    document = job.model_dump(mode="json")
    assert document["training"]["schedule"]["name"] == "constant"
    assert hash_of(folder, yaml.safe_dump(document)) == job.hash


def test_the_folders_place_does_not_count(folder: Path, tmp_path: Path) -> None:
    assert load_job(shutil.copytree(folder, tmp_path / "elsewhere" / NAME)).hash == load_job(folder).hash


CHANGES: list[dict[str, Any]] = [
    {"description": "another question"},
    {"config": {"cases": 121}},
    {"training": DOCUMENT["training"] | {"seed": 1}},
    {"training": DOCUMENT["training"] | {"optimizer": {"name": "adamw", "lr": 0.0030000000000000005}}},
    {"workflow": {"name": "swarm", "rounds": 5}},
    {"workflow": {"name": "fedavg", "rounds": 5, "round_quorum": 2}},
    {"exchange": {"exclude": ["6.*"]}},
    {"selection": {"metric": "accuracy", "mode": "max"}},
    {"selection": {"metric": "auroc_macro", "mode": "min"}},
]


@pytest.mark.parametrize("change", CHANGES, ids=[str(change)[:60] for change in CHANGES])
def test_any_value_counts(change: dict[str, Any], folder: Path) -> None:
    assert hash_of(folder, yaml.safe_dump(DOCUMENT | change)) != load_job(JOBS / NAME).hash


def test_every_byte_of_a_shipped_file_counts(folder: Path) -> None:
    before = load_job(folder).hash
    with (folder / "pipeline.py").open("a") as stream:
        stream.write("\n")
    after = load_job(folder).hash
    assert after != before
    (folder / "note.txt").write_text("not shipped")
    assert load_job(folder).hash == after
    (folder / "genes.txt").write_text("A\nB\n")
    with_genes = hash_of(folder, yaml.safe_dump(DOCUMENT | {"files": ["genes.txt"]}))
    (folder / "genes.txt").write_text("A\nC\n")
    assert len({after, with_genes, load_job(folder).hash}) == 3


def test_a_varied_job_has_a_hash_of_its_own(folder: Path) -> None:
    job = load_job(folder)
    assert job.varied(config={"cases": 60}).hash != job.hash
    assert job.varied(config={"cases": 120}).hash == job.hash
    assert job.varied(training=job.training).hash == job.hash


def test_canonical_json() -> None:
    assert (
        canonical_json({"b": [1, 2.5, None, True], "a": {"ö": 1e-7}})
        == '{"a":{"ö":1e-07},"b":[1,2.5,null,true]}'
    )
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": math.nan})


def test_digests_are_sha256(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1; and a file of several blocks
    (tmp_path / "abc").write_bytes(b"abc")
    assert (
        sha256_of_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    (tmp_path / "large").write_bytes(bytes(range(256)) * 10_000)
    assert sha256_of_file(tmp_path / "large") == hashlib.sha256(bytes(range(256)) * 10_000).hexdigest()
    assert sha256_of_json({"b": 1, "a": "ö"}) == hashlib.sha256('{"a":"ö","b":1}'.encode()).hexdigest()


# PyYAML writes a bare NEL (U+0085) and reads it as a line break: no control characters here
words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
settings_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
optimizers = st.one_of(
    st.fixed_dictionaries(
        {"name": st.just("sgd"), "lr": st.floats(1e-9, 10)}, optional={"momentum": st.floats(0, 0.99)}
    ),
    st.fixed_dictionaries({"name": st.sampled_from(["adam", "adamw"]), "weight_decay": st.floats(0, 1)}),
)
local_work = st.one_of(
    st.fixed_dictionaries({"epochs": st.integers(1, 1000)}),
    st.fixed_dictionaries({"steps": st.integers(1, 10**6)}),
    st.fixed_dictionaries(
        {"epochs_scaled": st.fixed_dictionaries({"reference_cases": st.integers(1, 10**6)})}
    ),
)
workflows = st.one_of(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["fedavg", "swarm"]),
            "rounds": st.integers(1, 1000),
            "weights": st.sampled_from(["cases", "events", "steps", "uniform"]),
            "round_quorum": st.just("all") | st.integers(1, 50),
            "proximal_mu": st.floats(0, 1),
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("fedopt"),
            "rounds": st.integers(1, 1000),
            "server_optimizer": st.fixed_dictionaries(
                {"name": st.sampled_from(["adam", "yogi", "adagrad"]), "lr": st.floats(1e-9, 10)}
            ),
        }
    ),
    st.fixed_dictionaries(
        {"name": st.just("cyclic"), "round_budget": st.floats(0.1, 1e6), "rounds": st.just(3)}
    ),
)
jobs = st.fixed_dictionaries(
    {
        "name": st.just("job"),
        "description": words,
        "pipeline": st.just("tabular"),
        "config": st.dictionaries(words, settings_values, max_size=4),
        "training": st.fixed_dictionaries(
            {"local": local_work, "optimizer": optimizers, "gradient_clip": st.none() | st.floats(1e-3, 1e3)}
        ),
        "workflow": workflows,
        "selection": st.fixed_dictionaries({"metric": words, "mode": st.sampled_from(["min", "max"])}),
    }
).map(Job.model_validate)


@settings(deadline=None, max_examples=100)
@given(job=jobs, indent=st.integers(2, 6), flow=st.booleans())
def test_a_round_trip_through_yaml_keeps_the_hash(job: Job, indent: int, flow: bool) -> None:
    text = yaml.safe_dump(
        job.model_dump(mode="json"), indent=indent, default_flow_style=flow, allow_unicode=True
    )
    assert Job.model_validate(yaml.safe_load(text)).hash == job.hash


def test_every_shipped_job_loads_and_is_written_as_its_folder_is_called() -> None:
    found = [load_job(folder) for folder in job_folders()]
    assert NAME in {job.name for job in found}
    assert len({job.hash for job in found}) == len(found)
    assert all(job.description for job in found)
