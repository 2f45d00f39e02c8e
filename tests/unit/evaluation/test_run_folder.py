"""From a real run directory to a report: what the ledger writes is what the report reads."""

import csv
import json
from pathlib import Path

import pytest

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import DataError
from mediswarm.evaluation import ALL_SITES, FEDERATED, evaluate_predictions, read_run, write_report
from mediswarm.pipelines import Site
from mediswarm.spec import FedAvg, Job, load_job

CLASSES = ("empty", "left", "right")
SITES = ("site-1", "site-2")
JOBS = Path(__file__).parents[3] / "application" / "jobs"


@pytest.fixture(scope="module")
def job() -> Job:
    minimal = load_job(JOBS / "minimal_training_pytorch_cnn")
    return minimal.varied(workflow=FedAvg(rounds=2), config={"cases": 40})


@pytest.fixture(scope="module")
def finished(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    ReferenceRun(job, [Site(name) for name in SITES], folder).run()
    return folder


def _read(folder: Path):
    return read_run(folder, description="Where?", classes=CLASSES, seconds={"federated": 1.5})


def test_facts_are_those_of_the_record(job: Job, finished: Path) -> None:
    facts = _read(finished)
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert (facts.job, facts.job_hash, facts.workflow, facts.rounds) == (job.name, job.hash, "fedavg", 2)
    assert (facts.sites, facts.metric, facts.best_model) == (SITES, "auroc_macro", record["best"]["model"])
    assert {(line.round, line.site) for line in facts.contributions} == {
        (r, s) for r in (0, 1) for s in SITES
    }
    assert all(line.cases == 20 and line.steps > 0 and line.left_out is None for line in facts.contributions)
    models = {point.rounds: point.value for point in facts.progress if point.site == ALL_SITES}
    assert models == {int(model): score["auroc_macro"] for model, score in record["scores"].items()}
    assert {point.site for point in facts.progress} == {*SITES, ALL_SITES}


def test_predictions_of_a_real_run_make_a_report(finished: Path, tmp_path: Path) -> None:
    results = []
    for site in SITES:
        path = finished / "sites" / site / "predictions" / "test.csv"
        results += evaluate_predictions(path, site, FEDERATED, CLASSES)
    write_report(tmp_path / "report.html", _read(finished), results)
    assert all(site in (tmp_path / "report.html").read_text(encoding="utf-8") for site in SITES)


def test_macro_auroc_of_the_file_is_the_records(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    for site in SITES:
        path = finished / "sites" / site / "predictions" / "test.csv"
        found = {r.metric: r.value for r in evaluate_predictions(path, site, FEDERATED, CLASSES)}
        for name in CLASSES:
            assert found[f"auroc_{name}"] == pytest.approx(record["test"][site][f"auroc_{name}"], abs=1e-6)
        assert found["accuracy"] == pytest.approx(record["test"][site]["accuracy"])


def test_an_excluded_site_is_read_with_its_reason(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((finished / "run.json").read_bytes())
    with (finished / "contributions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rows[-1] = dict.fromkeys(rows[-1], "") | {
        "round": "1",
        "site": "site-2",
        "state": "excluded",
        "reason": "MS-R005",
    }
    with (tmp_path / "contributions.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    line = _read(tmp_path).contributions[-1]
    assert (line.site, line.cases, line.weight, line.loss, line.left_out) == (
        "site-2",
        0,
        0.0,
        None,
        "MS-R005",
    )


@pytest.mark.parametrize("state", ["running", "failed", "timed out"])
def test_a_run_that_is_no_success_has_no_report(finished: Path, tmp_path: Path, state: str) -> None:
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    (tmp_path / "run.json").write_text(json.dumps(record | {"state": state}), encoding="utf-8")
    (tmp_path / "contributions.csv").write_bytes((finished / "contributions.csv").read_bytes())
    with pytest.raises(DataError, match=f"state is {state}") as caught:
        _read(tmp_path)
    assert (caught.value.code, caught.value.file) == ("MS-E008", str(tmp_path / "run.json"))


def test_a_folder_that_is_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable record") as caught:
        _read(tmp_path)
    assert caught.value.code == "MS-E008"
