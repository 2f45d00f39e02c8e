"""A run that is cut into segments ends where the uncut run ends."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mediswarm.aggregation.coordinator import Coordinator
from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import ArtefactError
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.spec import Job
from mediswarm.training.site_run import SiteRun

SITES = ("aachen", "berlin")
SGD, ADAM = {"name": "sgd", "lr": 0.05}, {"name": "adam", "lr": 0.003}
CASES = {
    "fedavg, moments at the sites": ({"name": "fedavg"}, ADAM, {}),
    "fedopt, moments at the server": (
        {"name": "fedopt", "server_optimizer": {"name": "adam", "lr": 0.01}},
        SGD,
        {},
    ),
    "scaffold, variates at both": ({"name": "scaffold"}, SGD, {}),
    "parameters that stay local": ({"name": "fedavg"}, ADAM, {"exclude": ["6.*"]}),
    "float16": ({"name": "fedavg"}, ADAM, {"precision": "float16"}),
}


class Segments:
    """A run each of whose segments has processes of its own: nothing but the folders goes over."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder, self.number = job, folder, 0

    def run(self, rounds: int, sites: tuple[str, ...] = SITES, kill: bool = False) -> Coordinator:
        """Do `rounds` rounds; a killed segment ends in the midst of one more, and says nothing."""
        job = self.job
        centre = Coordinator(job, load_pipeline(job), self.folder, "run", segment=self.number)
        self.number += 1
        at = {
            name: SiteRun(job, load_pipeline(job), Site(name), self.folder / "sites" / name) for name in sites
        }
        order = centre.admit({name: site.introduce() for name, site in at.items()}, {})
        end = min(centre.model + rounds, job.workflow.rounds)
        for round_ in range(centre.model, end):
            for name in order:
                centre.accept(name, at[name].contribute(centre.order(round_)))
            centre.end_round(round_)
        if kill:
            centre.accept(order[0], at[order[0]].contribute(centre.order(end)))
        elif end == job.workflow.rounds:
            judged = {
                name: at[name].judge(centre.shown(centre.strategy.weights), centre.totals, False)
                for name in order
            }
            centre.judged(judged)
            best = centre.best_weights()
            shown = None if best is None else centre.shown(best)
            centre.finish({name: at[name].judge(shown, centre.totals, True) for name in order})
        else:
            centre.pause()
        for site in at.values():
            site.close()
        centre.close()
        return centre


@pytest.fixture
def job(make_job: Any, request: pytest.FixtureRequest) -> Job:
    workflow, optimizer, exchange = CASES[getattr(request, "param", "fedavg, moments at the sites")]
    made: Job = make_job(
        workflow={**workflow, "rounds": 4, "segment_rounds": 2},
        training={"local": {"epochs": 1}, "optimizer": optimizer, "seed": 3},
        config={"cases": 40},
        exchange=exchange,
    )
    return made


@pytest.mark.parametrize("job", CASES, indirect=True)
def test_segments_change_nothing(job: Job, tmp_path: Path) -> None:
    whole = ReferenceRun(job, [Site(name) for name in SITES], tmp_path / "whole")
    expected = whole.run()
    run = Segments(job, tmp_path / "cut")
    run.run(1)
    run.run(1, kill=True)
    last = run.run(2)
    record = json.loads((tmp_path / "cut" / "run.json").read_text())
    assert all(torch.equal(last.strategy.weights[name], value) for name, value in whole.weights.items())
    for key in ("scores", "best", "test", "state"):
        assert record[key] == expected[key], key
    with (
        (tmp_path / "cut" / "contributions.csv").open(newline="") as cut,
        (tmp_path / "whole" / "contributions.csv").open(newline="") as uncut,
    ):
        times = ("validate_s", "train_s")
        rows, expected_rows = (
            [
                {name: value for name, value in row.items() if name not in times}
                for row in csv.DictReader(stream)
            ]
            for stream in (cut, uncut)
        )
    assert rows == expected_rows
    assert [(entry["first_round"], entry["state"]) for entry in record["segments"]] == [
        (0, "paused"),
        (1, "crashed"),
        (2, "succeeded"),
    ]


def test_a_site_joins_late_and_one_is_lost(job: Job, tmp_path: Path) -> None:
    run = Segments(job, tmp_path / "run")
    run.run(1)
    run.run(1, sites=("aachen", "berlin", "cork"))
    run.run(2, sites=("berlin", "cork"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["state"] == "succeeded"
    assert [entry["contributed"] for entry in record["rounds"]] == [
        ["aachen", "berlin"],
        ["aachen", "berlin", "cork"],
        ["berlin", "cork"],
        ["berlin", "cork"],
    ]
    assert {site: said["joined"] for site, said in record["participants"].items()} == {
        "aachen": 0,
        "berlin": 0,
        "cork": 1,
    }


def test_a_model_that_was_not_yet_written_costs_its_round(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = Segments(job, folder)
    run.run(1)
    shutil.copytree(folder / "last", tmp_path / "older")
    run.run(1, kill=True)
    shutil.rmtree(folder / "last")
    shutil.copytree(tmp_path / "older", folder / "last")
    run.run(3)
    record = json.loads((folder / "run.json").read_text())
    assert [entry["round"] for entry in record["rounds"]] == [0, 1, 2, 3]
    assert record["segments"][1]["rounds_lost"] == 1


def test_a_replacement_cut_in_two_is_finished(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = Segments(job, folder)
    run.run(1)
    older = (folder / "last" / "model.json").read_text()
    run.run(1, kill=True)
    # as a process killed between the renaming of the weights and that of their description leaves it
    (folder / "last" / "model.json").rename(folder / "last" / ".model.json.partial")
    (folder / "last" / "model.json").write_text(older)
    assert run.run(2).model == 4


def test_a_run_whose_models_were_pruned_is_not_gone_on_with(job: Job, tmp_path: Path) -> None:
    run = Segments(job, tmp_path)
    run.run(2)
    shutil.rmtree(tmp_path / "last")
    with pytest.raises(ArtefactError, match="old runs are pruned") as caught:
        run.run(2)
    assert caught.value.code == "MS-A004"


def test_the_state_of_another_job_is_refused(job: Job, tmp_path: Path) -> None:
    Segments(job, tmp_path / "run").run(1)
    other = job.varied(config={"cases": 80})
    before = (tmp_path / "run" / "contributions.csv").read_text()
    with pytest.raises(ArtefactError) as caught:
        Segments(other, tmp_path / "run").run(1)
    assert caught.value.code == "MS-A004"
    assert (tmp_path / "run" / "contributions.csv").read_text() == before
