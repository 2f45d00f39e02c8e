"""The linear pipeline: a learner of its own, on a synthetic transcriptome in real CSV files."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import mediswarm
from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import ContractError, DataError, JobError, PipelineError
from mediswarm.pipelines import RoundPlan, Site, load_pipeline
from mediswarm.pipelines.linear import Linear
from mediswarm.preflight.pipeline_contract import check_pipeline
from mediswarm.spec import Job, Training, load_job

JOB = Path(mediswarm.__file__).parents[1] / "jobs" / "linear_transcriptome"
GENES = [f"GENE{number:03d}" for number in range(1, 61)]


def expression(
    count: int, seed: int, genes: list[str] = GENES, classes: tuple[str, ...] = ("control", "case")
) -> pd.DataFrame:
    """Log expression of `count` samples; the first five genes are raised in each further class."""
    random = np.random.default_rng(seed)
    label = random.integers(len(classes), size=count)
    values = random.normal(6, 1.5, size=(count, len(genes)))
    for index in range(1, len(classes)):
        values[:, 5 * index - 5 : 5 * index] += 1.2 * (label == index)[:, None]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "sample": [f"s{i}" for i in range(count)],
                    "patient": [f"p{i}" for i in range(count)],
                    "diagnosis": [classes[i] for i in label],
                }
            ),
            pd.DataFrame(values.clip(0, 25).round(4), columns=genes),
        ],
        axis=1,
    )


def write(folder: Path, table: pd.DataFrame, site: str = "A") -> Site:
    (folder / site).mkdir(exist_ok=True)
    table.to_csv(folder / site / "expression.csv", index=False)
    return Site(site, folder)


def job_with(tmp_path: Path, **changes: Any) -> Job:
    """The shipped job, copied, with some keys replaced."""
    folder = tmp_path / "linear_transcriptome"
    if not folder.exists():
        shutil.copytree(JOB, folder)
    job = Job.model_validate(load_job(folder).model_dump() | changes)
    job._folder = folder
    return job


def linear(tmp_path: Path, training: dict[str, Any] | None = None, **config: Any) -> tuple[Linear, Training]:
    job = job_with(tmp_path)
    pipeline = Linear(Linear.Config.model_validate(job.config | config), job.folder)
    return pipeline, Training.model_validate(training or {"local": {"epochs": 20}})


def test_sites_train_one_model_together_through_the_common_interface(tmp_path):
    sizes = {"A": 120, "B": 60, "C": 40}
    sites = [write(tmp_path, expression(n, seed), name) for seed, (name, n) in enumerate(sizes.items())]
    run = ReferenceRun(job_with(tmp_path), sites, tmp_path / "run")
    record = run.run()
    assert record["state"] == "succeeded"
    weights = run.weights
    assert weights["coef"].shape == (2, 60)
    assert weights["coef"][0].abs().sum() == 0
    largest = weights["coef"][1].abs().argsort(descending=True)[:5]
    assert len(set(largest.tolist()) & set(range(5))) >= 4
    assert (weights["coef"][1] == 0).sum() > 20


def test_the_model_has_the_learners_parameters_and_gives_its_predictions(tmp_path):
    pipeline, training = linear(tmp_path)
    site = write(tmp_path, expression(100, 1))
    data = pipeline.data(site)
    pipeline.agree(pipeline.statistics(data))
    learner = pipeline.learner(data, training, site)
    learner.train(RoundPlan(round=0, rounds=1, seed=1))
    model = pipeline.model()
    model.load_state_dict(learner.weights())
    logits = model(pipeline.tensors(data.test)[0])
    assert torch.equal(pipeline.predict(logits), learner.predict(data.test).outputs)


def test_rounds_that_go_on_reach_the_optimum_of_scikit_learn(tmp_path):
    pipeline, training = linear(tmp_path, l1=0.05, class_weighting=False)
    site = write(tmp_path, expression(150, 2))
    data = pipeline.data(site)
    pipeline.agree(pipeline.statistics(data))
    learner = pipeline.learner(data, training, site)
    losses = [learner.train(RoundPlan(round=i, rounds=10, seed=i)).loss for i in range(10)]
    assert losses[-1] < losses[0]
    inputs, targets = pipeline.tensors(data.train)
    rows = learner.model.standardise(inputs).double().numpy()
    exact = LogisticRegression(
        C=1 / (0.05 * len(rows)), solver="saga", tol=1e-10, max_iter=20000, **saga_words()
    ).fit(rows, targets.numpy())
    np.testing.assert_allclose(learner.weights()["coef"][1], exact.coef_[0], atol=5e-3)


def saga_words() -> dict[str, Any]:
    return {"l1_ratio": 1.0} if LogisticRegression().penalty == "deprecated" else {"penalty": "l1"}


def test_the_penalty_does_not_depend_on_the_sites_size(tmp_path):
    """Every row twice is the same problem, so that sites of any size agree on its optimum."""
    pipeline, training = linear(tmp_path, {"local": {"epochs": 5000}}, class_weighting=False)
    data = pipeline.data(write(tmp_path, expression(80, 3)))
    pipeline.agree(pipeline.statistics(data))
    inputs, targets = pipeline.tensors(data.train)
    doubled = type(data.train).of(inputs.repeat(2, 1), targets.repeat(2))
    fitted = []
    for train in (data.train, doubled):
        learner = pipeline.learner(type(data)(train, data.validation, data.test), training, Site("A"))
        learner.train(RoundPlan(round=0, rounds=1, seed=0))
        fitted.append(learner.weights()["coef"])
    torch.testing.assert_close(fitted[0], fitted[1], atol=1e-3, rtol=0)


@pytest.mark.parametrize("present", [("control", "case"), ("control",)])
def test_a_class_that_a_site_lacks_keeps_its_place(tmp_path, present):
    three = [{"name": name, "codes": [name]} for name in ("control", "case", "other")]
    pipeline, training = linear(tmp_path, label={"column": "diagnosis", "classes": three})
    site = write(tmp_path, expression(80, 4, classes=present))
    data = pipeline.data(site)
    pipeline.agree({"class_counts": [30.0, 20.0, 20.0]} | pipeline.statistics(data) | {})
    learner = pipeline.learner(data, training, site)
    learner.train(RoundPlan(round=0, rounds=1, seed=0))
    assert learner.weights()["coef"].shape == (3, 60)
    assert learner.predict(data.validation).outputs.shape[1] == 3
    assert learner.predict(data.validation).outputs[:, 2].max() < 0.2


@pytest.mark.parametrize(
    ("plan", "said"),
    [({"proximal_mu": 0.1}, "proximal_mu"), ({"control": {"coef": torch.zeros(2, 60)}}, "scaffold")],
)
def test_what_the_learner_cannot_do_is_refused_and_not_ignored(tmp_path, plan, said):
    pipeline, training = linear(tmp_path)
    site = write(tmp_path, expression(60, 5))
    learner = pipeline.learner(pipeline.data(site), training, site)
    with pytest.raises(PipelineError, match=said) as caught:
        learner.train(RoundPlan(round=0, rounds=1, seed=0, **plan))
    assert caught.value.code == "MS-P004"
    assert "`tabular`" in caught.value.repair


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"local": {"steps": 10}}, "training.local"),
        ({"local": {"epochs": 1}, "optimizer": {"name": "sgd", "lr": 0.1}}, "training.optimizer"),
        ({"local": {"epochs": 1}, "batch_size": 4}, "training.batch_size"),
        ({"local": {"epochs": 1}, "gradient_clip": 1.0}, "training.gradient_clip"),
    ],
)
def test_training_settings_without_a_meaning_are_refused(tmp_path, training, said):
    pipeline, wanted = linear(tmp_path, training)
    site = write(tmp_path, expression(60, 5))
    with pytest.raises(PipelineError, match=said) as caught:
        pipeline.learner(pipeline.data(site), wanted, site)
    assert caught.value.code == "MS-P004"


def test_weights_of_another_model_are_refused(tmp_path):
    pipeline, training = linear(tmp_path)
    site = write(tmp_path, expression(60, 5))
    learner = pipeline.learner(pipeline.data(site), training, site)
    with pytest.raises(ContractError, match="coef"):
        learner.load({"coef": torch.zeros(2, 61)})


def test_an_abort_before_the_round_changes_nothing(tmp_path):
    pipeline, training = linear(tmp_path)
    site = write(tmp_path, expression(60, 5))
    learner = pipeline.learner(pipeline.data(site), training, site)
    result = learner.train(RoundPlan(round=0, rounds=1, seed=0, stop=lambda: True))
    assert result.steps == 0
    assert learner.weights()["coef"].abs().sum() == 0


def test_the_interface_is_kept(tmp_path):
    for site in "AB":
        write(tmp_path, expression(60, ord(site)), site)
    assert {finding.status for finding in check_pipeline(load_job(JOB), tmp_path)} == {"PASS"}


def test_further_columns_are_not_read_and_that_is_said(tmp_path):
    pipeline, _ = linear(tmp_path)
    table = expression(60, 0)
    table["GENE999"] = "not even a number"
    found = {finding.subject: finding for finding in pipeline.check(write(tmp_path, table))}
    assert (found["columns"].status, found["columns"].message) == ("PASS", "1 further column not read")


def test_a_missing_gene_is_named(tmp_path):
    pipeline, _ = linear(tmp_path)
    with pytest.raises(DataError, match="lacks 'GENE007'") as caught:
        pipeline.data(write(tmp_path, expression(30, 0).drop(columns="GENE007")))
    assert caught.value.place.endswith("expression.csv:1")


def test_raw_counts_are_not_log_expression(tmp_path):
    table = expression(30, 0)
    table[GENES] = (2 ** table[GENES]).round()
    pipeline, _ = linear(tmp_path)
    with pytest.raises(DataError, match=r"most values of 'GENE001' lie outside \[0, 25\]") as caught:
        pipeline.data(write(tmp_path, table))
    assert caught.value.code == "MS-D204"
    assert "log2(TPM + 1)" in caught.value.repair


def test_a_missing_value_is_refused(tmp_path):
    table = expression(30, 0)
    table.loc[3, "GENE009"] = None
    pipeline, _ = linear(tmp_path)
    with pytest.raises(DataError, match="1 cell in column 'GENE009' is empty") as caught:
        pipeline.data(write(tmp_path, table))
    assert (caught.value.code, caught.value.place[-2:]) == ("MS-D206", ":5")


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [("GENE001\nGENE002\nGENE001\n", "MS-D221", 3), ("# none\n\n", "MS-D221", None), (None, "MS-J007", None)],
)
def test_an_unusable_list_of_features_is_refused(tmp_path, text, code, line):
    job = job_with(tmp_path)
    file = job.folder / "genes.txt"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(JobError) as caught:
        load_pipeline(job)
    assert (caught.value.code, caught.value.line) == (code, line)
    assert caught.value.file.endswith("genes.txt")


def test_features_outside_the_job_are_refused(tmp_path):
    job = job_with(tmp_path)
    job = job_with(tmp_path, config=job.config | {"features": "../genes.txt"})
    with pytest.raises(JobError) as caught:
        load_pipeline(job)
    assert caught.value.code == "MS-J011"


def test_the_contract_holds_order_and_unit_of_features_in_few_words(tmp_path):
    pipeline, _ = linear(tmp_path)
    first = pipeline.contract()
    assert first["features"]["count"] == 60
    assert len(str(first)) < 600
    file = job_with(tmp_path).folder / "genes.txt"
    file.write_text("\n".join(reversed(GENES)))
    assert linear(tmp_path)[0].contract()["features"] != first["features"]


def test_a_whole_transcriptome_is_read_in_seconds(tmp_path):
    genes = [f"ENSG{number:011d}" for number in range(20000)]
    pipeline, training = linear(tmp_path)
    (job_with(tmp_path).folder / "genes.txt").write_text("\n".join(genes))
    pipeline, training = linear(tmp_path, {"local": {"epochs": 1}})
    site = write(tmp_path, expression(60, 0, genes=genes))
    started = time.perf_counter()
    data = pipeline.data(site)
    pipeline.agree(pipeline.statistics(data))
    learner = pipeline.learner(data, training, site)
    learner.train(RoundPlan(round=0, rounds=1, seed=0))
    assert time.perf_counter() - started < 30
    assert len(data.train) == 36
