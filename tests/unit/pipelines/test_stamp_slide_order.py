"""D8: whatever the order of tables and files, bag, target and prediction are those of one patient.

The features of each patient say who it is. A reader that takes the slides in sorted order and the labels
in the order of their table gives patients the bags of others; one that groups a slide table as if it were
sorted loses slides.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.data.bags.feature_writer import write_features
from mediswarm.evaluation.slides.judged import Split
from mediswarm.evaluation.slides.predict import predict_site
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines import Site
from mediswarm.pipelines.base import Cases
from mediswarm.pipelines.stamp import Stamp
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.batches import training_batches

PATIENTS, FEATURES, BAG = 20, 8, 6
CONFIG: dict[str, Any] = {
    "task": {"name": "regression", "label": "NUMBER", "unit": "1", "minimum": 0, "maximum": PATIENTS},
    "features": {"extractor": "uni", "dimension": FEATURES},
    "model": {"name": "linear"},
    "bag_size": BAG,
}
Marks = dict[str, set[tuple[int, int]]]


def write_table(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Of patient number n, slide s: the first feature is n and the second s, in each of its tiles."""
    rng = np.random.default_rng(8)
    folder = tmp_path / "data" / "north"
    clinical, slides = [], []
    folder.mkdir(parents=True)
    for number, code in enumerate(rng.permutation(PATIENTS)):
        uid = f"P{code:02}"
        clinical.append((uid, number))
        for slide in range(1 + number % 3):
            name = f"{rng.integers(10**6):06}.h5"  # in another order than patients, and naming none
            features = rng.standard_normal((3 + slide + number % 4, FEATURES))
            features[:, 0], features[:, 1] = number, slide
            write_features(folder / "features" / name, features, extractor="uni")
            slides.append((uid, name))
    write_table(folder / "clini.csv", ("PATIENT", "NUMBER"), [clinical[i] for i in rng.permutation(PATIENTS)])
    slides = [slides[i] for i in rng.permutation(len(slides))]
    write_table(folder / "slide.csv", ("PATIENT", "FILENAME"), slides)
    return Site("north", tmp_path / "data", tmp_path / "scratch")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def numbers(site: Site) -> dict[str, int]:
    return {row["PATIENT"]: int(row["NUMBER"]) for row in rows_of(site.folder / "clini.csv")}


def bag_of(site: Site, uid: str) -> torch.Tensor:
    """All tiles of a patient, read without the package."""
    parts = []
    for row in rows_of(site.folder / "slide.csv"):
        if row["PATIENT"] == uid:
            with h5py.File(site.folder / "features" / row["FILENAME"]) as file:
                parts.append(torch.from_numpy(file["feats"][:]))
    return torch.cat(parts)


def in_order(features: torch.Tensor) -> list[list[float]]:
    return sorted(features.tolist())


def test_the_tables_are_in_no_order_that_could_help(site: Site) -> None:
    listed = [row["PATIENT"] for row in rows_of(site.folder / "slide.csv")]
    groups = 1 + sum(one != other for one, other in pairwise(listed))
    assert groups > len(set(listed)) + 5
    by_file = [
        row["PATIENT"] for row in sorted(rows_of(site.folder / "slide.csv"), key=lambda r: r["FILENAME"])
    ]
    for order in (list(numbers(site)), list(dict.fromkeys(by_file)), list(dict.fromkeys(listed))):
        assert order != sorted(order)


def test_bags_and_targets_are_of_the_same_patient(site: Site) -> None:
    data, truth = Stamp(Stamp.Config.model_validate(CONFIG)).data(site), numbers(site)
    splits: list[Cases] = [data.train, data.validation, data.test]
    assert sorted(uid for cases in splits for uid in cases.ids) == sorted(truth)
    for cases in splits:
        for index, uid in enumerate(cases.ids):
            bag, target = cases.dataset[index]
            assert target.tolist() == [truth[uid]]
            assert in_order(bag["features"]) == in_order(bag_of(site, uid))
            assert set(bag["features"][:, 1].tolist()) == set(range(1 + truth[uid] % 3))


def test_batches_of_training_hold_tiles_and_target_of_the_same_patient(site: Site) -> None:
    data = Stamp(Stamp.Config.model_validate(CONFIG)).data(site)
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for bags, targets in training_batches(data.train, 4, 8, generator, torch.device("cpu")):
        for features, mask, target in zip(bags["features"], bags["mask"], targets, strict=True):
            assert set(features[mask, 0].tolist()) == set(target.tolist())
            seen.add(float(target))
    assert seen == {numbers(site)[uid] for uid in data.train.ids}


@pytest.mark.parametrize("split", ["val", "test", "all"])
def test_predictions_are_of_the_patient_beside_whom_they_stand(
    site: Site, tmp_path: Path, split: Split
) -> None:
    document = yaml.safe_load((JOBS / "STAMP_regression" / "job.yml").read_text())
    document |= {"config": CONFIG, "workflow": {"name": "fedavg", "rounds": 1}}
    document["training"] |= {"batch_size": 4, "optimizer": {"name": "adamw", "lr": 3e-3}}
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "job.yml").write_text(yaml.safe_dump(document | {"name": "job"}))
    ReferenceRun(load_job(tmp_path / "job"), [site], tmp_path / "run").run()
    trained, truth = TrainedModel.load(tmp_path / "run"), numbers(site)

    def predicted(uid: str) -> float:
        features = bag_of(site, uid)[None]
        bag = {"features": features, "mask": torch.ones(features.shape[:2], dtype=torch.bool)}
        return float(trained.network(bag | {"coords": torch.zeros(*features.shape[:2], 2)}))

    assert len({round(predicted(uid), 3) for uid in truth}) == PATIENTS
    predict_site(trained, site, split, tmp_path)
    rows = [(row["PATIENT"], row["NUMBER"], row["pred"]) for row in rows_of(tmp_path / "patient-preds.csv")]
    if split != "all":
        name = {"val": "validation", "test": "test"}[split]
        file = tmp_path / "run" / "sites" / "north" / "predictions" / f"{name}.csv"
        rows += [(row["case"], row["target"], row["prediction"]) for row in rows_of(file)]
    assert len(rows) >= (PATIENTS if split == "all" else 4)
    for uid, target, prediction in rows:
        assert float(target) == truth[uid]
        assert float(prediction) == pytest.approx(predicted(uid), abs=1e-3)
