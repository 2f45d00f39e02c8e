"""Every random number of a run follows from (job, site, round)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.pipelines import Site
from mediswarm.training.seeds import seed_everything, seed_for


def test_seeds_differ_by_site_round_purpose_and_root(make_job: Any) -> None:
    job = make_job()
    other = job.varied(training=job.training.model_copy(update={"seed": 1}))
    seeds = [
        seed_for(which, site, round_, purpose)
        for which in (job, other)
        for site in ("a", "b", "")
        for round_ in range(50)
        for purpose in ("train", "model")
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_are_the_same_on_every_machine(make_job: Any) -> None:
    # SHA-256 of "minimal_training_pytorch_cnn/0/a/3/train", first four bytes, halved
    assert seed_for(make_job(), "a", 3) == 1553032388


def test_what_does_not_draw_numbers_does_not_change_seeds(make_job: Any) -> None:
    job = make_job()
    assert seed_for(job.varied(workflow={"name": "swarm", "rounds": 9}), "a", 3) == seed_for(job, "a", 3)


def test_all_global_generators_are_seeded() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002 - as libraries do

    seed_everything(5)
    first = draw()
    assert draw() != first
    seed_everything(5)
    assert draw() == first


def test_a_run_repeats_itself_and_another_seed_does_not(make_job: Any, tmp_path: Path) -> None:
    def trained(seed: int, name: str) -> dict[str, torch.Tensor]:
        training = {"local": {"epochs": 1}, "seed": seed}
        job = make_job(training=training, workflow={"name": "fedavg", "rounds": 2}, config={"cases": 40})
        # libraries may have drawn numbers before
        torch.manual_seed(len(name))
        run = ReferenceRun(job, [Site("a"), Site("b")], tmp_path / name)
        run.run()
        return run.weights

    first, again, other = trained(1, "first"), trained(1, "once more"), trained(2, "other")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
