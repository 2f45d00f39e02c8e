"""Predictions under STAMP's column names, of the right patients, and what is written beside them."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.errors import ContractError, DataError, RunFailed
from mediswarm.evaluation.slides.judged import judge
from mediswarm.evaluation.slides.predict import predict_site
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines import Site
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS

Load = Callable[..., TrainedModel]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def truth_of(site: Site) -> dict[str, dict[str, str]]:
    return {row["PATIENT"]: row for row in rows_of(site.folder / "clini.csv")}


def test_classification(load_model: Load, north: Site, tmp_path: Path) -> None:
    trained = load_model("classification", "vit")
    test = trained.pipeline.data(north).test
    predict_site(trained, north, "test", tmp_path)
    rows, truth = rows_of(tmp_path / "patient-preds.csv"), truth_of(north)
    names = ["SUBTYPE_common", "SUBTYPE_other", "SUBTYPE_rare"]
    assert list(rows[0]) == ["PATIENT", "SUBTYPE", "pred", *names]
    assert [row["PATIENT"] for row in rows] == sorted(test.ids)
    for index, uid in enumerate(test.ids):
        row = next(row for row in rows if row["PATIENT"] == uid)
        assert row["SUBTYPE"] == truth[uid]["SUBTYPE"]
        bag = {name: part[None] for name, part in test.dataset[index][0].items()}
        expected = trained.network(bag).softmax(dim=1)[0]
        torch.testing.assert_close(torch.tensor([float(row[name]) for name in names]), expected)
        assert row["pred"] == ("common", "other", "rare")[int(expected.argmax())]
    assert sorted(file.name for file in tmp_path.glob("*.*")) == [
        "patient-preds.csv",
        "roc.svg",
        "statistics.csv",
    ]


def test_survival_and_regression(load_model: Load, north: Site, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(), (tmp_path / "r").mkdir()
    predict_site(load_model("survival"), north, "all", tmp_path / "s")
    rows, truth = rows_of(tmp_path / "s" / "patient-preds.csv"), truth_of(north)
    assert list(rows[0]) == ["PATIENT", "DAYS", "STATUS", "pred"]
    assert len(rows) == 40
    for row in rows:
        days, dead = float(truth[row["PATIENT"]]["DAYS"]), truth[row["PATIENT"]]["STATUS"] == "dead"
        assert (float(row["DAYS"]), row["STATUS"]) == (min(days, 1000), "1" if dead and days <= 1000 else "0")
    assert (tmp_path / "s" / "kaplan-meier.svg").exists()
    trained = load_model("regression")
    trained.pipeline.data(north)
    predict_site(trained, north, "val", tmp_path / "r")
    rows = rows_of(tmp_path / "r" / "patient-preds.csv")
    assert list(rows[0]) == ["PATIENT", "VALUE", "pred"]
    for row in rows:
        assert float(row["VALUE"]) == pytest.approx(float(truth[row["PATIENT"]]["VALUE"]), abs=1e-6)


def test_a_label_that_is_not_known_is_empty(load_model: Load, north: Site, tmp_path: Path) -> None:
    shutil.copytree(north.folder, tmp_path / "data" / "north")
    clini = tmp_path / "data" / "north" / "clini.csv"
    lines = [line.split(",") for line in clini.read_text().splitlines()]
    lines[1][2] = ""
    clini.write_text("\n".join(map(",".join, lines)) + "\n")
    statistics = predict_site(
        load_model("multi_target", "barspoon"), Site("north", tmp_path / "data"), "all", tmp_path
    )
    rows = {row["PATIENT"]: row for row in rows_of(tmp_path / "patient-preds.csv")}
    row = rows[lines[1][0]]
    assert list(row) == [
        "PATIENT",
        *("SUBTYPE", "pred_SUBTYPE", "SUBTYPE_common", "SUBTYPE_other", "SUBTYPE_rare"),
        *("GRADE", "pred_GRADE", "GRADE_low", "GRADE_high"),
    ]
    assert row["GRADE"] == ""
    assert row["pred_GRADE"] in ("low", "high")
    support = {one.label: one.support for one in statistics if one.metric == "accuracy"}
    assert support == {"SUBTYPE": 40, "GRADE": 39}
    assert (tmp_path / "roc-2.svg").exists()


def test_figures_are_svg_that_needs_no_page(load_model: Load, north: Site, tmp_path: Path) -> None:
    predict_site(load_model("binary"), north, "all", tmp_path)
    text = (tmp_path / "roc.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - just written
    assert "var(" not in text
    assert "#0a0b" not in text
    assert "high: AUROC" in text
    assert "low: AUROC" not in text  # the same curve, turned


@pytest.mark.parametrize("labelled", ["low", "low and none", "none"])
def test_the_picture_says_why_it_has_no_curve(
    labelled: str, load_model: Load, data: Path, tmp_path: Path
) -> None:
    site = Site("north", data)
    grades = {"low": ("low", "low"), "low and none": ("low", ""), "none": ("", "")}[labelled]
    relabel(site, lambda number, row: row | {"GRADE": grades[number % 2]})
    predict_site(load_model("multi_target", "barspoon"), site, "all", tmp_path)
    text = (tmp_path / "roc-2.svg").read_text(encoding="utf-8")
    why = "no patient has the label" if labelled == "none" else "all patients are low"
    drawn = [element.text for element in ET.fromstring(text).iter() if element.tag.endswith("text")]  # noqa: S314
    assert f"no curve: {why}" in drawn
    assert "no curve" not in (tmp_path / "roc-1.svg").read_text(encoding="utf-8")


def test_all_are_the_patients_of_all_splits(load_model: Load, north: Site) -> None:
    trained = load_model("regression", "mlp")
    trained.pipeline.data(north)
    whole = judge(trained, north, "all")
    assert list(whole.ids) == sorted(truth_of(north))
    for split in ("val", "test"):
        part = judge(trained, north, split)
        rows = [whole.ids.index(uid) for uid in part.ids]
        torch.testing.assert_close(whole.predictions[rows], part.predictions)
        torch.testing.assert_close(whole.targets[rows], part.targets)


def test_a_split_without_patients(load_model: Load, north: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load_model("regression")
    splits = trained.pipeline.config.splits.model_copy(update={"fractions": (0.8, 0.2, 0.0)})
    monkeypatch.setattr(
        trained.pipeline, "config", trained.pipeline.config.model_copy(update={"splits": splits})
    )
    trained.pipeline.data(north)
    with pytest.raises(DataError, match="no patients in split test") as caught:
        judge(trained, north, "test")
    assert caught.value.code == "MS-D003"
    assert len(judge(trained, north, "all")) == 40


def test_a_model_that_diverged(load_model: Load, north: Site) -> None:
    trained = load_model("regression")
    next(trained.network.parameters()).fill_(float("nan"))
    with pytest.raises(RunFailed) as caught:
        judge(trained, north, "all")
    assert caught.value.code == "MS-R004"


@pytest.fixture
def data(slide_data: Path, tmp_path: Path) -> Path:
    """A copy of the data, to be changed."""
    shutil.copytree(slide_data, tmp_path / "data")
    return tmp_path / "data"


def without_patients(site: Site, wanted: Callable[[int], bool]) -> list[str]:
    """Take those patients, numbered in the table's order, out of both tables; their ids."""
    clini, slide = site.folder / "clini.csv", site.folder / "slide.csv"
    head, *lines = clini.read_text().splitlines()
    gone = [line.split(",")[0] for number, line in enumerate(lines) if wanted(number)]
    for file in (clini, slide):
        head, *lines = file.read_text().splitlines()
        column = head.split(",").index("PATIENT")
        kept = [line for line in lines if line.split(",")[column] not in gone]
        file.write_text("\n".join([head, *kept]) + "\n")
    return gone


def test_the_patients_of_a_run_are_those_whom_it_predicted_though_others_come_and_go(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A draw of today, with another list of patients, would judge patients who were trained on."""
    job = load_job(JOBS / "STAMP_classification")
    features = {"extractor": "synthetic", "dimension": 8}
    config: Any = job.config | {"features": features, "model": {"name": "linear"}}
    job = job.varied(config=config, workflow={"name": "fedavg", "rounds": 1})
    site = Site("north", data)
    (data / "later").mkdir()
    for name in ("clini.csv", "slide.csv"):
        shutil.copy(site.folder / name, data / "later" / name)
    without_patients(site, lambda number: number % 3 == 0)
    ReferenceRun(job, [site], tmp_path / "run").run()
    predicted = {
        split: [row["case"] for row in rows_of(tmp_path / "run/sites/north/predictions" / f"{name}.csv")]
        for split, name in (("val", "validation"), ("test", "test"))
    }
    for name in ("clini.csv", "slide.csv"):  # those who were left out come
        (data / "later" / name).replace(site.folder / name)
    gone = without_patients(site, lambda number: number % 10 == 2)
    assert set(gone) & set(predicted["test"])
    for place in ("run", "run/best"):
        trained = TrainedModel.load(tmp_path / place)
        assert set(trained.pipeline.data(site).test.ids) - set(predicted["test"])
        for split in ("val", "test"):
            assert list(judge(trained, site, split).ids) == sorted(set(predicted[split]) - set(gone))
        assert len(judge(trained, site, "all")) == 40 - len(gone)
    assert f"{len(set(gone) & set(predicted['test']))} patients whom the run predicted" in caplog.text
    assert "cannot be known" not in caplog.text


def test_a_draw_of_today_is_not_taken_for_that_of_the_training(load_model: Load, north: Site) -> None:
    trained = load_model("regression")
    for site in (north, Site("north", north.data_dir)):
        with pytest.raises(DataError, match="neither a prediction of the run nor a draw") as caught:
            judge(trained, site, "test")
        assert caught.value.code == "MS-E014"
        assert len(judge(trained, site, "all")) == 40


def test_patients_of_a_kept_draw_need_no_label(load_model: Load, data: Path, tmp_path: Path) -> None:
    trained, site = load_model("regression"), Site("north", data, tmp_path / "scratch")
    drawn = trained.pipeline.data(site)
    clini = site.folder / "clini.csv"
    with clini.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with clini.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | ({"VALUE": ""} if row["PATIENT"] in drawn.test.ids else {}) for row in rows)
    assert sorted(judge(trained, site, "test").ids) == sorted(drawn.test.ids)
    assert sorted(judge(trained, site, "val").ids) == sorted(drawn.validation.ids)


def test_all_are_also_patients_in_no_split(load_model: Load, data: Path, tmp_path: Path) -> None:
    trained, site = load_model("regression"), Site("north", data, tmp_path / "scratch")
    tables = {name: (site.folder / name).read_text() for name in ("clini.csv", "slide.csv")}
    without_patients(site, lambda number: number < 4)
    trained.pipeline.data(site)
    for name, text in tables.items():
        (site.folder / name).write_text(text)
    assert len(judge(trained, site, "all")) == 40


def test_a_label_that_no_judged_patient_has(load_model: Load, data: Path, tmp_path: Path) -> None:
    clini = data / "north" / "clini.csv"
    head, *lines = clini.read_text().splitlines()
    column = head.split(",").index("GRADE")
    cells = [line.split(",") for line in lines]
    rows = [",".join([*row[:column], "", *row[column + 1 :]]) for row in cells]
    clini.write_text("\n".join([head, *rows]) + "\n")
    statistics = predict_site(load_model("multi_target", "barspoon"), Site("north", data), "all", tmp_path)
    unknown = [one for one in statistics if one.label == "GRADE"]
    assert unknown
    assert {(one.value, one.low, one.support) for one in unknown} == {(None, None, 0)}


def relabel(site: Site, change: Callable[[int, dict[str, str]], dict[str, str]]) -> None:
    """Rewrite the rows of the clinical table, by their number."""
    file = site.folder / "clini.csv"
    rows = [change(number, row) for number, row in enumerate(rows_of(file))]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


LABELS = {
    "binary": ("GRADE",),
    "multi_target": ("SUBTYPE", "GRADE"),
    "regression": ("VALUE",),
    "survival": ("DAYS", "STATUS"),
}


@pytest.mark.parametrize("task", LABELS)
def test_patients_without_a_label_are_predicted_and_not_judged(
    task: str, load_model: Load, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained, site = load_model(task, "barspoon" if task == "multi_target" else "linear"), Site("north", data)
    names = LABELS[task]
    for place in ("whole", "some", "none", "table"):
        (tmp_path / place).mkdir()
    predict_site(trained, site, "all", tmp_path / "whole")
    whole = rows_of(tmp_path / "whole" / "patient-preds.csv")

    def predicted(place: str) -> list[dict[str, str]]:
        rows = rows_of(tmp_path / place / "patient-preds.csv")
        assert [without(row) for row in rows] == [without(row) for row in whole]
        return rows

    def without(row: dict[str, str]) -> dict[str, str]:
        return {name: text for name, text in row.items() if name not in names}

    empty = dict.fromkeys(names, "")
    relabel(site, lambda number, row: row | empty if number < 30 else row)
    rows = predict_site(trained, site, "all", tmp_path / "some")
    assert max(row.support for row in rows) == 10
    assert sum(row[names[0]] == "" for row in predicted("some")) == 30
    assert f"30 of 40 patients have no {' or '.join(names)}: statistics are of the others" in caplog.text
    with pytest.raises(DataError) as caught:  # to train on them is another matter
        trained.pipeline.data(site)
    assert caught.value.code == "MS-B050"

    relabel(site, lambda _, row: row | empty)
    assert predict_site(trained, site, "all", tmp_path / "none") == []
    relabel(site, lambda _, row: without(row))
    caplog.clear()
    assert predict_site(trained, site, "all", tmp_path / "table") == []
    for place in ("none", "table"):
        assert {row[name] for row in predicted(place) for name in names} == {""}
        assert [file.name for file in (tmp_path / place).iterdir()] == ["patient-preds.csv"]
    assert f"40 of 40 patients have no {' or '.join(names)}: predictions are written" in caplog.text
    with pytest.raises(DataError, match="the header lacks") as lacks:
        trained.pipeline.data(site)
    assert lacks.value.code == "MS-D102"


def test_a_time_without_a_status_is_no_missing_label(load_model: Load, data: Path) -> None:
    site = Site("north", data)
    relabel(site, lambda number, row: row | ({"STATUS": ""} if number == 3 else {}))
    with pytest.raises(DataError, match="no STATUS") as caught:
        judge(load_model("survival"), site, "all")
    assert caught.value.code == "MS-B050"


def test_numbers_of_the_table_stand_as_they_stood(load_model: Load, data: Path, tmp_path: Path) -> None:
    site = Site("north", data)
    relabel(site, lambda number, row: row | {"VALUE": ("0.3", "-7", "1.23456")[number % 3]})
    predict_site(load_model("regression"), site, "all", tmp_path)
    assert {row["VALUE"] for row in rows_of(tmp_path / "patient-preds.csv")} == {"0.3", "-7", "1.23456"}


def test_features_of_another_extractor_than_the_run_s(
    load_model: Load, save_model: Callable[..., Path], north: Site, caplog: pytest.LogCaptureFixture
) -> None:
    run = save_model("regression")
    trained = TrainedModel.load(run)
    with caplog.at_level(logging.WARNING):
        judge(trained, north, "all")
    assert "whether these features are of the same extractor cannot be known" in caplog.text
    measured = trained.pipeline.data(north).measured
    contract = trained.pipeline.contract() | measured
    (run / "run.json").write_text(json.dumps({"contract": contract}))
    caplog.clear()
    judge(TrainedModel.load(run), north, "all")
    assert caplog.text == ""
    measured["measured_features"]["extractor_hash"] = "ffffffff"
    (run / "run.json").write_text(json.dumps({"contract": contract}))
    with pytest.raises(ContractError, match="ffffffff") as caught:
        judge(TrainedModel.load(run), north, "all")
    assert caught.value.code == "MS-C001"
