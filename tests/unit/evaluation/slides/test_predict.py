"""Predictions under STAMP's column names, of the right patients, and what is written beside them."""

from __future__ import annotations

import csv
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mediswarm.errors import DataError, RunFailed
from mediswarm.evaluation.slides.judged import judge
from mediswarm.evaluation.slides.predict import predict_site
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines import Site

Load = Callable[..., TrainedModel]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def truth_of(site: Site) -> dict[str, dict[str, str]]:
    return {row["PATIENT"]: row for row in rows_of(site.folder / "clini.csv")}


def test_classification(load_model: Load, north: Site, tmp_path: Path) -> None:
    trained = load_model("classification", "vit")
    predict_site(trained, north, "test", tmp_path)
    rows, truth = rows_of(tmp_path / "patient-preds.csv"), truth_of(north)
    names = ["SUBTYPE_common", "SUBTYPE_other", "SUBTYPE_rare"]
    assert list(rows[0]) == ["PATIENT", "SUBTYPE", "pred", *names]
    test = trained.pipeline.data(north).test
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
    predict_site(load_model("regression"), north, "val", tmp_path / "r")
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


def test_all_are_the_patients_of_all_splits(load_model: Load, north: Site) -> None:
    trained = load_model("regression", "mlp")
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
    with pytest.raises(DataError, match="no patients in split test") as caught:
        judge(trained, north, "test")
    assert caught.value.code == "MS-D003"
    assert len(judge(trained, north, "all")) == 40


def test_a_model_that_diverged(load_model: Load, north: Site) -> None:
    trained = load_model("regression")
    next(trained.network.parameters()).fill_(float("nan"))
    with pytest.raises(RunFailed) as caught:
        judge(trained, north, "val")
    assert caught.value.code == "MS-R004"
