"""Whole runs in one process: what sites share, what they keep, and what they agree on."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mediswarm.aggregation.reference import ReferenceRun, local_variant
from mediswarm.errors import ContractError, DataError, JobError, RunFailed
from mediswarm.pipelines import Site, add_counts
from mediswarm.spec.catalogue import JOBS

CODE = (JOBS / "minimal_training_pytorch_cnn" / "pipeline.py").read_text(encoding="utf-8")
SHORT: dict[str, Any] = {
    "config": {"cases": 40},
    "training": {"local": {"epochs": 1}, "optimizer": {"name": "adamw", "lr": 0.003}},
    "workflow": {"name": "fedavg", "rounds": 2},
}


def changed(old: str, new: str) -> str:
    assert CODE.count(old) == 1
    return CODE.replace(old, new)


NORMALISED = changed(
    "            nn.Conv2d(1, width, 5, padding=2),\n",
    "            nn.Conv2d(1, width, 5, padding=2),\n            nn.BatchNorm2d(width),\n",
)
BETA_SEES_NOTHING_ON_THE_RIGHT = changed(
    "        return SiteData(*(self.synthesise(generator, part) for part in (2, 4, 4)))",
    "        self.present = 2 if site.name == 'beta' else 3\n"
    "        return SiteData(*(self.synthesise(generator, part) for part in (2, 4, 4)))",
).replace("torch.randint(len(self.classes), (count,)", "torch.randint(self.present, (count,)")
OTHER_CLASSES_AT_BETA = changed(
    "    def data(self, site: Site) -> SiteData:\n",
    "    def data(self, site: Site) -> SiteData:\n"
    "        if site.name == 'beta':\n            self.classes = ('empty', 'right', 'left')\n",
)


def run_of(job: Any, folder: Path, sites: str = "alpha beta") -> ReferenceRun:
    return ReferenceRun(job, [Site(name) for name in sites.split()], folder)


def weights_at(run: ReferenceRun, site: str) -> dict[str, torch.Tensor]:
    learner = run.sites[site].learner
    assert learner is not None
    return {name: value.clone() for name, value in learner.weights().items()}


NORM = {"1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
HEAD = {"7.weight", "7.bias"}


@pytest.mark.parametrize(
    ("exclude", "local"),
    [(["1.*"], NORM), (["7.*"], HEAD), (["1.running_*", "*.bias"], {"1.running_mean", "1.running_var"})],
    ids=["FedBN", "personal head", "statistics and biases"],
)
def test_excluded_parameters_stay_at_their_site_and_the_others_are_shared(
    exclude: list[str], local: set[str], make_job: Any, tmp_path: Path
) -> None:
    job = make_job(code=NORMALISED, exchange={"exclude": exclude}, **SHORT)
    run = run_of(job, tmp_path / "run")
    run.run()
    alpha, beta = weights_at(run, "alpha"), weights_at(run, "beta")
    shared = set(run.weights)
    assert local <= alpha.keys() - shared
    last = safetensors.torch.load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert last.keys() == alpha.keys()
    for name in alpha.keys() - {"1.num_batches_tracked"}:
        assert torch.equal(alpha[name], beta[name]) == (name in shared), name
    for name in shared:
        assert torch.equal(run.weights[name], last[name])
    # nobody's own values are in the consortium's artefact
    assert not any(torch.equal(last[name], own[name]) for name in local for own in (alpha, beta))


def test_without_exclusions_all_sites_hold_one_model(make_job: Any, tmp_path: Path) -> None:
    run = run_of(make_job(code=NORMALISED, **SHORT), tmp_path / "run")
    run.run()
    alpha, beta = weights_at(run, "alpha"), weights_at(run, "beta")
    assert alpha.keys() == run.weights.keys() >= NORM | HEAD
    assert all(torch.equal(alpha[name], beta[name]) for name in alpha)


def test_a_pipeline_keeps_its_own_parameters_local_whatever_the_job_says(
    make_job: Any, tmp_path: Path
) -> None:
    code = NORMALISED.replace(
        "    Config = MinimalConfig\n", '    Config = MinimalConfig\n    local_parameters = ("1.*",)\n'
    )
    run = run_of(make_job(code=code, **SHORT), tmp_path / "run")
    run.run()
    assert not NORM & run.weights.keys()


def test_masks_are_not_averaged(make_job: Any, tmp_path: Path) -> None:
    code = CODE.replace(
        "        return nn.Sequential(",
        "        made = nn.Sequential(",
    ).rstrip()
    code += '\n        made.register_buffer("mask", torch.ones(3, dtype=torch.bool))\n        return made\n'
    run = run_of(make_job(code=code, **SHORT), tmp_path / "run")
    assert run.run()["state"] == "succeeded"
    assert "mask" not in run.weights
    assert safetensors.torch.load_file(tmp_path / "run" / "best" / "model.safetensors")["mask"].all()


# -- D3: a class is absent at one site -------------------------------------------------------------


def test_a_class_may_be_absent_at_a_site(make_job: Any, tmp_path: Path) -> None:
    job = make_job(code=BETA_SEES_NOTHING_ON_THE_RIGHT, **SHORT)
    run = run_of(job, tmp_path / "run")
    record = run.run()
    assert record["state"] == "succeeded"
    counts = {name: site.statistics["class_counts"] for name, site in run.sites.items()}
    assert counts["beta"][2] == 0
    assert counts["alpha"][2] > 0

    beta = record["test"]["beta"]
    assert beta["auroc_right"] is None
    assert beta["auroc_macro"] == pytest.approx((beta["auroc_empty"] + beta["auroc_left"]) / 2)
    assert all(record["test"]["alpha"][f"auroc_{name}"] is not None for name in ("empty", "left", "right"))
    assert all(score["auroc_right"] is not None for score in record["scores"].values())
    assert (tmp_path / "run" / "run.json").read_text().count("NaN") == 0


def test_class_weights_follow_from_the_summed_counts_and_are_equal_everywhere(
    make_job: Any, tmp_path: Path
) -> None:
    run = run_of(make_job(code=BETA_SEES_NOTHING_ON_THE_RIGHT, **SHORT), tmp_path / "run")
    run.run()
    total = add_counts(site.statistics for site in run.sites.values())["class_counts"]
    expected = [sum(total) / (3 * count) for count in total]
    for site in run.sites.values():
        weights = site.pipeline.class_weights()  # type: ignore[attr-defined]
        assert weights.tolist() == pytest.approx(expected)


# -- what is refused ---------------------------------------------------------------------------------


def test_an_unknown_selection_metric_is_refused_before_anything_happens(
    make_job: Any, tmp_path: Path
) -> None:
    job = make_job(selection={"metric": "acc", "mode": "max"}, **SHORT)
    with pytest.raises(JobError, match=r"reports accuracy, balanced_accuracy") as caught:
        run_of(job, tmp_path / "run")
    assert caught.value.code == "MS-J010"
    assert caught.value.line is not None
    assert not (tmp_path / "run").exists()


def test_a_site_with_other_classes_is_named_and_nothing_is_trained(make_job: Any, tmp_path: Path) -> None:
    run = run_of(make_job(code=OTHER_CLASSES_AT_BETA, **SHORT), tmp_path / "run")
    with pytest.raises(ContractError, match="site beta has classes") as caught:
        run.run()
    assert caught.value.code == "MS-C001"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["state"], record["error"]["code"], record["rounds"]) == ("failed", "MS-C001", [])
    assert not (tmp_path / "run" / "last").exists()


def test_a_refused_site_neither_trains_nor_judges(make_job: Any, tmp_path: Path) -> None:
    workflow = {"name": "fedavg", "rounds": 2, "start_quorum": 2}
    job = make_job(code=OTHER_CLASSES_AT_BETA, **SHORT | {"workflow": workflow})
    run = run_of(job, tmp_path / "run", "alpha beta gamma")
    record = run.run()
    assert list(record["participants"]) == ["alpha", "gamma"]
    assert record["left_out"] == {"beta": "MS-C001"}
    assert record["test"].keys() == {"alpha", "gamma"}
    assert run.sites["beta"].learner is None
    assert not (tmp_path / "run" / "sites" / "beta").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_split_is_refused(split: str, make_job: Any, tmp_path: Path) -> None:
    parts = "(99, 4, 4)" if split == "train" else "(2, 99, 4)"
    run = run_of(make_job(code=changed("(2, 4, 4)", parts), **SHORT), tmp_path / "run")
    with pytest.raises(DataError, match=f"has no {split} cases") as caught:
        run.run()
    assert caught.value.code == "MS-D003"


def test_a_rate_too_small_to_move_anything_is_no_success(make_job: Any, tmp_path: Path) -> None:
    training = {"local": {"epochs": 1}, "optimizer": {"name": "sgd", "lr": 1e-60}}
    run = run_of(make_job(code=NORMALISED, **SHORT | {"training": training}), tmp_path / "run")
    with pytest.raises(RunFailed) as caught:
        run.run()
    # running statistics moved; nothing was learned
    assert caught.value.code == "MS-R003"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["state"], record["error"]["code"]) == ("failed", "MS-R003")


def test_divergence_ends_the_run_by_name(make_job: Any, tmp_path: Path) -> None:
    training = {"local": {"epochs": 4}, "optimizer": {"name": "sgd", "lr": 1e20}}
    run = run_of(make_job(**SHORT | {"training": training}), tmp_path / "run")
    with pytest.raises(RunFailed) as caught:
        run.run()
    assert caught.value.code == "MS-R004"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["error"]["code"] == "MS-R004"


@pytest.mark.parametrize(
    "body",
    [
        "    def predict(self, output):\n        return super().predict(output) * float('nan')\n",
        (
            "    def loss(self, output, target):\n"
            "        return super().loss(output, target) * (1 if output.requires_grad else float('inf'))\n"
        ),
    ],
    ids=["predictions", "loss"],
)
def test_a_model_that_answers_no_numbers_is_never_scored(body: str, make_job: Any, tmp_path: Path) -> None:
    code = changed("    Config = MinimalConfig\n", f"    Config = MinimalConfig\n\n{body}")
    with pytest.raises(RunFailed, match="predictions of the model are no longer finite") as caught:
        run_of(make_job(code=code, **SHORT), tmp_path / "run").run()
    assert caught.value.code == "MS-R004"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["scores"], record["best"]) == ({}, None)


# -- R16: the record has content ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fedavg", "scaffold", "cyclic"])
def test_the_run_directory_is_complete(name: str, make_job: Any, tmp_path: Path) -> None:
    training = {"local": {"epochs": 1}, "optimizer": {"name": "sgd", "lr": 0.05}}
    job = make_job(**SHORT | {"training": training, "workflow": {"name": name, "rounds": 2}})
    folder = tmp_path / "run"
    record = run_of(job, folder).run()
    assert json.loads((folder / "run.json").read_text()) == record
    assert set(record["scores"]) == ({"1", "2"} if name == "cyclic" else {"0", "1", "2"})
    assert record["best"]["value"] == max(score["auroc_macro"] for score in record["scores"].values())
    assert all(record["test"][site]["accuracy"] is not None for site in ("alpha", "beta"))
    with (folder / "contributions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    assert all(
        int(row["steps"]) == 2 and float(row["train_s"]) > 0 and float(row["loss"]) > 0 for row in rows
    )
    assert all(bool(row["metric"]) == (name != "cyclic") for row in rows)
    for site in ("alpha", "beta"):
        table = (folder / "sites" / site / "predictions" / "test.csv").read_text().splitlines()
        assert table[0] == "case,target,p_empty,p_left,p_right"
        assert len(table) == 11
    # rows with case ids are at the sites and nowhere else
    assert [path.name for path in folder.glob("*.csv")] == ["contributions.csv"]


def test_local_training_is_the_same_job_for_one_site(make_job: Any, tmp_path: Path) -> None:
    job = make_job(**SHORT | {"workflow": {"name": "swarm", "rounds": 3}})
    alone = local_variant(job)
    assert (alone.workflow.name, alone.workflow.rounds) == ("fedavg", 3)
    assert (alone.training, alone.config, alone.pipeline) == (job.training, job.config, job.pipeline)
    record = run_of(alone, tmp_path / "run", "beta").run()
    assert list(record["participants"]) == ["beta"]
