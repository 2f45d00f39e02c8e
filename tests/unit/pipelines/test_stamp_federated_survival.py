"""Survival with the risk set of all sites: a round of three hospitals is a step of all of their patients."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.data.bags.synthetic_bags import BagSize, SyntheticBagSite, write_synthetic_bags
from mediswarm.errors import JobError, RunCrashed
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.pipelines.stamp.cox import intervals_of
from mediswarm.spec import Job, load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.crossing import Order
from mediswarm.training.site_run import SiteRun, initial_weights
from mediswarm.training.torch_learner import TorchLearner

SITES = ("big", "middle", "small")
TASK: dict[str, Any] = {
    "name": "survival",
    "time": "DAYS",
    "status": "STATUS",
    "unit": "days",
    "censored_after": 1825,
    "intervals": 12,
    "risk_set": "federation",
}
LR = 0.5


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "data"
    sizes = ((14, 12, 6), (8, 6, 4), (3, 3, 4))
    sites = [
        SyntheticBagSite(name, size, shift=1.0, gain=1.0) for name, size in zip(SITES, sizes, strict=True)
    ]
    write_synthetic_bags(folder, 0, sites, BagSize(tiles=(5, 12), features=8))
    return folder


def job_with(folder: Path, **changes: Any) -> Job:
    """Full batches of whole bags, plain gradient descent, one step in a round."""
    document = yaml.safe_load((JOBS / "STAMP_survival" / "job.yml").read_text()) | {
        "config": {
            "task": TASK,
            "features": {"extractor": "synthetic", "dimension": 8},
            "model": {"name": "linear"},
            "bag_size": 512,
        },
        "training": {
            "local": {"steps": 1},
            "batch_size": 512,
            "optimizer": {"name": "sgd", "lr": LR, "momentum": 0.0},
        },
        "workflow": {"name": "fedavg", "rounds": 1, "weights": "cases"},
    }
    target = folder / "jobs" / document["name"]
    target.mkdir(parents=True, exist_ok=True)
    (target / "job.yml").write_text(yaml.safe_dump(document | changes))
    return load_job(target)


def pooled_loss(job: Job, cohort: Path, model: torch.nn.Module, totals: Any) -> torch.Tensor:
    """Breslow's likelihood per event of the training patients of all sites, event by event."""
    risks, targets = [], []
    for name in SITES:
        pipeline = load_pipeline(job)
        pipeline.agree(totals)
        dataset: Any = pipeline.data(Site(name, cohort)).train.dataset
        bags, target = dataset.collate([dataset[index] for index in range(len(dataset))])
        risks.append(model(bags).reshape(-1).double())
        targets.append(target.double())
    log_risk, (time, event) = torch.cat(risks), torch.cat(targets).T
    grid = torch.linspace(0, 1825, 13, dtype=torch.float64)[1:]
    tied = intervals_of(time, grid)
    terms = [
        log_risk[tied >= tied[index]].logsumexp(dim=0) - log_risk[index] for index in event.nonzero()[:, 0]
    ]
    loss: torch.Tensor = torch.stack(terms).sum() / event.sum()
    return loss


def test_a_round_is_one_step_down_the_likelihood_of_all_patients(cohort: Path, tmp_path: Path) -> None:
    job = job_with(tmp_path)
    reference = ReferenceRun(job, [Site(name, cohort) for name in SITES], tmp_path / "run")
    record = reference.run()
    totals = reference.centre.totals

    pipeline = load_pipeline(job)
    before, _, _ = initial_weights(job, pipeline, totals)
    model = pipeline.model()
    model.load_state_dict(before)
    loss = pooled_loss(job, cohort, model, totals)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    moved = 0.0
    for (name, value), gradient in zip(model.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(reference.weights[name], value - LR * gradient, rtol=0, atol=1e-6)
        moved = max(moved, float((LR * gradient).abs().max()))
    assert moved > 1e-3

    with (tmp_path / "run" / "contributions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    # each site reports its part of the pooled loss; together, by their cases, they are all of it
    weighted = sum(float(row["loss"]) * float(row["cases"]) for row in rows)
    assert weighted / sum(float(row["cases"]) for row in rows) == pytest.approx(
        float(loss.detach()), abs=1e-5
    )
    bytes_of_model = sum(value.numel() * 4 for value in reference.weights.values())
    assert {int(row["received_bytes"]) for row in rows} == {bytes_of_model}, (
        "the model travels once in a round"
    )
    assert record["state"] == "succeeded"


def test_within_a_site_it_is_another_step(cohort: Path, tmp_path: Path) -> None:
    sites = [Site(name, cohort) for name in SITES]
    weights = []
    for risk_set in ("site", "federation"):
        config = job_with(tmp_path).config | {"task": TASK | {"risk_set": risk_set}}
        run = ReferenceRun(job_with(tmp_path, config=config), sites, tmp_path / risk_set)
        run.run()
        weights.append(run.weights)
    assert any((weights[0][name] - value).abs().max() > 1e-4 for name, value in weights[1].items())


@pytest.mark.parametrize(
    "workflow",
    [{"name": "fedavg", "rounds": 1, "weights": "events"}, {"name": "cyclic", "rounds": 1}],
    ids=["events", "cyclic"],
)
def test_sites_must_weigh_as_many_cases_as_they_have(workflow: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(JobError, match="of all sites together") as caught:
        load_pipeline(job_with(tmp_path, workflow=workflow))
    assert caught.value.code == "MS-J017"
    assert caught.value.line


@pytest.mark.parametrize("size", [1, 2])
def test_a_patient_alone_in_a_batch_would_teach_nothing(size: int, tmp_path: Path) -> None:
    training = job_with(tmp_path).training.model_dump() | {"batch_size": size}
    with pytest.raises(JobError, match=rf"training\.batch_size is {size}") as caught:
        load_pipeline(job_with(tmp_path, training=training))
    assert caught.value.code == "MS-B056"


def test_small_batches_lower_the_loss_of_all_patients(cohort: Path, tmp_path: Path) -> None:
    """Several steps in a round, of three patients each."""
    training = job_with(tmp_path).training.model_dump() | {
        "batch_size": 3,
        "local": {"epochs": 1},
        "optimizer": {"name": "sgd", "lr": 0.02},
    }
    job = job_with(tmp_path, training=training, workflow={"name": "fedavg", "rounds": 10})
    run = ReferenceRun(job, [Site(name, cohort) for name in SITES], tmp_path / "run")
    run.run()
    model = load_pipeline(job).model()
    before, _, _ = initial_weights(job, load_pipeline(job), run.centre.totals)
    losses = []
    for weights in (before, run.weights):
        model.load_state_dict(weights)
        losses.append(float(pooled_loss(job, cohort, model, run.centre.totals).detach()))
    assert losses[1] < losses[0] - 0.05


def test_outside_of_a_round_the_loss_is_the_sites_own(cohort: Path, tmp_path: Path) -> None:
    job = job_with(tmp_path)
    run = ReferenceRun(job, [Site(name, cohort) for name in SITES], tmp_path / "run")
    run.run()
    site = run.sites["big"]
    assert isinstance(site.learner, TorchLearner)
    assert site.data is not None
    judged = site.learner.predict(site.data.validation)
    own = load_pipeline(job).loss(judged.outputs, judged.targets)
    assert judged.loss == pytest.approx(float(own), rel=1e-5)


def test_a_site_that_has_not_measured_the_model_says_so(cohort: Path, tmp_path: Path) -> None:
    job = job_with(tmp_path)
    site = SiteRun(job, load_pipeline(job), Site("big", cohort), tmp_path / "run")
    totals = site.introduce().statistics
    with pytest.raises(RunCrashed, match="not measured the model of round 0") as caught:
        site.contribute(Order(0, None, totals))
    assert caught.value.code == "MS-R006"
