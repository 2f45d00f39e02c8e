"""The job is the only source of what is trained (R18)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mediswarm
from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.flare.site_settings import environment_of, site_from_environment
from mediswarm.pipelines import Site
from mediswarm.spec import Job
from mediswarm.training.artefact import describe_artefact

PACKAGE = Path(mediswarm.__file__).parent


def keys(document: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in document.items():
        yield (*at, key), value
        if isinstance(value, dict):
            yield from keys(value, (*at, key))


def trained(job: Job, folder: Path) -> dict[str, torch.Tensor]:
    run = ReferenceRun(job, [Site("a"), Site("b")], folder)
    run.run()
    return run.weights


def test_no_environment_variable_changes_what_is_trained(
    make_job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(
        training={"local": {"epochs": 1}}, workflow={"name": "fedavg", "rounds": 2}, config={"cases": 40}
    )
    without = trained(job, tmp_path / "without")
    named: set[str] = {
        "MODEL_NAME",
        "MODEL",
        "SEED",
        "LR",
        "NUM_EPOCHS",
        "MEDISWARM_JOB",
        "MEDISWARM_PIPELINE",
    }
    for path, _ in keys(job.model_dump(mode="json")):
        for words in (path, path[-1:]):
            for name in ("_".join(words), "__".join(words), ".".join(words), f"mediswarm_{'_'.join(words)}"):
                named |= {name, name.upper()}
    for name in named - {"name", "NAME"}:
        monkeypatch.setenv(name, "3")
    job = make_job(
        training={"local": {"epochs": 1}}, workflow={"name": "fedavg", "rounds": 2}, config={"cases": 40}
    )
    with_them = trained(job, tmp_path / "with")

    assert len(named) > 100
    assert all(torch.equal(with_them[name], without[name]) for name in without)
    said = describe_artefact(tmp_path / "with" / "last")
    assert said == describe_artefact(tmp_path / "without" / "last")
    assert (said.job, said.job_hash, said.config) == (job.name, job.hash, {"cases": 40})


def test_what_trains_reads_no_environment() -> None:
    readers = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
                readers.add(str(file.relative_to(PACKAGE)))
    # commands and nodes find their kit, cache and scratch directory there, and hand it on to processes
    outside_of_runs = {
        "cli/job.py",
        "cli/operator.py",
        "flare/node.py",
        "flare/node_processes.py",
        "flare/registration.py",
        "flare/session.py",
        "flare/simulator.py",
        "flare/warm_workers.py",
        "preflight/engine.py",
    }
    assert readers - outside_of_runs == {"flare/site_settings.py"}


def test_a_site_decides_on_its_data_scratch_and_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site_from_environment("a") == Site("a")
    for name, value in environment_of(tmp_path, tmp_path / "scratch", "cuda:1").items():
        monkeypatch.setenv(name, value)
    assert site_from_environment("a") == Site("a", tmp_path, tmp_path / "scratch", "cuda:1")
