"""`mediswarm stamp`: a cohort for which the shipped jobs are made; what a site makes of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mediswarm import __version__
from mediswarm.data.bags.synthetic_bags import BagSize, SyntheticBagSite, write_synthetic_bags
from mediswarm.data.findings import Finding
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.artefact import Artefact, architecture_of, save_artefact


def test_the_shipped_jobs_can_read_what_is_written(mediswarm: Any, tmp_path: Path) -> None:
    ended = mediswarm("stamp", "synthesise", "--out", "cohort")
    assert ended.code == 0
    assert "site-1, site-2, site-3" in ended.out
    for job in ("STAMP_classification", "STAMP_survival", "STAMP_regression"):
        pipeline = load_pipeline(load_job(JOBS / job))
        findings: list[Finding] = pipeline.check(Site("site-1", tmp_path / "cohort"))
        assert findings
        assert not [finding for finding in findings if finding.status == "FAIL"]


def test_nothing_is_overwritten(mediswarm: Any, tmp_path: Path) -> None:
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "mine.txt").write_text("mine")
    ended = mediswarm("stamp", "synthesise", "--out", "cohort")
    assert "MS-U003" in ended.err
    assert ended.code != 0
    assert [file.name for file in (tmp_path / "cohort").iterdir()] == ["mine.txt"]


def test_a_file_in_the_way(mediswarm: Any, tmp_path: Path) -> None:
    (tmp_path / "cohort").write_text("mine")
    ended = mediswarm("stamp", "synthesise", "--out", "cohort")
    assert "MS-U003" in ended.err


def test_a_cohort_that_cannot_be_written(mediswarm: Any) -> None:
    ended = mediswarm("stamp", "synthesise", "--out", "/proc/cohort")
    assert ended.code == 2
    assert "error[MS-U006] /proc/cohort: the cohort cannot be written" in ended.err


@pytest.fixture
def north(tmp_path: Path) -> str:
    """A site's data and an untrained model of STAMP_classification's; the name of a patient."""
    site = SyntheticBagSite("north", (12, 9, 6), 0.5, 1.0)
    write_synthetic_bags(tmp_path / "data", 0, [site], BagSize((6, 9), slides=1))
    job = load_job(JOBS / "STAMP_classification")
    config = job.config | {"model": {"name": "abmil"}}
    pipeline = load_pipeline(job.model_copy(update={"config": config}))
    torch.manual_seed(0)
    network = pipeline.model()
    weights = network.state_dict()
    kind = architecture_of(weights, type(network).__name__)
    save_artefact(
        tmp_path / "run" / "best",
        weights,
        Artefact(
            job.name, job.hash, "stamp", "1", config, pipeline.contract(), kind, 0, "loss", None, __version__
        ),
    )
    return "north-0001"


def test_predictions(mediswarm: Any, north: str, tmp_path: Path) -> None:
    asked = ("stamp", "predict", "run", "--data", "data", "--site", "north", "--out")
    ended = mediswarm(*asked, "predictions", "--split", "all")
    assert ended.code == 0, ended.err
    assert "all patients of north" in ended.out
    assert "auroc_macro" in ended.out
    lines = (tmp_path / "predictions" / "patient-preds.csv").read_text().splitlines()
    assert lines[0] == "PATIENT,SUBTYPE,pred,SUBTYPE_common,SUBTYPE_other,SUBTYPE_rare"
    assert len(lines) == 1 + 27
    assert (tmp_path / "predictions" / "patient-preds.csv").stat().st_mode & 0o077 == 0
    assert "MS-U003" in mediswarm(*asked, "predictions").err
    assert "MS-U004" in mediswarm(*asked, "data/north/predictions").err
    assert not (tmp_path / "data" / "north" / "predictions").exists()
    assert "MS-A001" in mediswarm("stamp", "predict", "none", *asked[3:], "other").err


def test_predictions_without_labels(
    mediswarm: Any, north: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clini = tmp_path / "data" / "north" / "clini.csv"
    clini.write_text("\n".join(line.partition(",")[0] for line in clini.read_text().splitlines()) + "\n")
    asked = ("stamp", "predict", "run", "--data", "data", "--site", "north", "--split", "all", "--out", "new")
    ended = mediswarm(*asked)
    assert ended.code == 0, ended.err
    assert "95 %" not in ended.out
    assert (
        "27 of 27 patients have no SUBTYPE: predictions are written, statistics are left out" in caplog.text
    )
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["patient-preds.csv"]


def test_heatmaps(mediswarm: Any, north: str, tmp_path: Path) -> None:
    asked = ("stamp", "heatmap", "run", "--data", "data", "--site", "north", "--patient", north, "--out")
    ended = mediswarm(*asked, "maps")
    assert ended.code == 0, ended.err
    folder = tmp_path / "maps" / north
    assert sorted(file.name for file in folder.iterdir()) == [
        f"{north}_1.geojson",
        f"{north}_1.png",
        "tiles.csv",
    ]
    assert f"wrote {folder / 'tiles.csv'}" in ended.out
    assert "MS-E009" in mediswarm(*asked, "other", "--patient", "nobody").err
    assert "MS-U001" in mediswarm(*asked, "more", "--slides", "nowhere").err
    for size in ("inf", "nan", "0", "-1"):
        ended = mediswarm(*asked, "more", "--mpp", size)
        assert (ended.code, "'--mpp'" in ended.err) == (2, True)
