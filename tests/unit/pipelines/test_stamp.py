"""The STAMP pipeline: configs, a site's files, splits, training on bags, predictions."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
import yaml

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.data.bags.feature_writer import write_features
from mediswarm.data.bags.synthetic_bags import BagSize, SyntheticBagSite, write_synthetic_bags
from mediswarm.errors import ContractError, DataError, JobError
from mediswarm.evaluation.predictions import read_predictions
from mediswarm.pipelines import RoundPlan, Site, load_pipeline
from mediswarm.pipelines.stamp import Stamp
from mediswarm.preflight.pipeline_contract import check_pipeline
from mediswarm.spec import Job, Training, load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.batches import training_batches
from mediswarm.training.footprint import estimate_step
from mediswarm.training.torch_learner import TorchLearner

SITES = (
    SyntheticBagSite("big", (24, 20, 8), shift=1.0, gain=1.0),
    SyntheticBagSite("middle", (8, 14, 6), shift=1.5, gain=1.2),
    SyntheticBagSite("small", (9, 5, 4), shift=1.2, gain=0.9),
)
FEATURES = 16
CONFIG: dict[str, Any] = {
    "task": {"name": "classification", "label": "SUBTYPE", "categories": ["common", "other", "rare"]},
    "features": {"extractor": "synthetic", "dimension": FEATURES},
    "model": {"name": "vit", "width": 32, "heads": 2, "hidden": 32, "dropout": 0.0},
    "bag_size": 24,
}
SURVIVAL = {
    "name": "survival",
    "time": "DAYS",
    "status": "STATUS",
    "unit": "days",
    "censored_after": 1825,
}
REGRESSION = {"name": "regression", "label": "VALUE", "unit": "1", "minimum": -10, "maximum": 10}
MULTI_TARGET = {
    "name": "multi_target",
    "targets": [
        {"label": "SUBTYPE", "categories": ["common", "other", "rare"]},
        {"label": "GRADE", "categories": ["low", "high"]},
    ],
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "data"
    write_synthetic_bags(folder, 0, SITES, BagSize(tiles=(10, 30), features=FEATURES, spread=0.3))
    return folder


@pytest.fixture
def own(cohort: Path, tmp_path: Path) -> Site:
    """A copy of one site, to be broken."""
    shutil.copytree(cohort / "small", tmp_path / "data" / "small")
    return Site("small", tmp_path / "data", tmp_path / "scratch")


def stamp(**changes: Any) -> Stamp:
    return Stamp(Stamp.Config.model_validate(CONFIG | changes))


def job_with(folder: Path, **changes: Any) -> Job:
    document = yaml.safe_load((JOBS / "STAMP_classification" / "job.yml").read_text())
    document["config"] = CONFIG
    document["training"] |= {"batch_size": 8, "optimizer": {"name": "adamw", "lr": 3e-3}}
    target = folder / "jobs" / document["name"]
    target.mkdir(parents=True, exist_ok=True)
    (target / "job.yml").write_text(yaml.safe_dump(document | changes))
    return load_job(target)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def rewrite(file: Path, change: Callable[[list[dict[str, str]]], Any]) -> None:
    rows = rows_of(file)
    changed = change(rows)
    rows = rows if changed is None else changed
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# -- jobs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"fractions": [0.7, 0.2, 0.2]}}, "sum to 1"),
        ({"splits": {"fractions": [1.0, 0.0, 0.0]}}, "something in train and in val"),
        ({"splits": {"folds": 5, "fold": 5}}, "fold 5 is none of 5"),
        ({"splits": {"fold": 1}}, "only in a table or among folds"),
        ({"splits": {"folds": 5, "table": "split"}}, "one of table and folds"),
        ({"splits": {"table": "split", "seed": 3}}, "seed has no use"),
        ({"features": {"extractor": "uni2"}}, "dimension"),
        ({"features": {"extractor": "uni2", "dimension": 8, "tile_size": 256}}, "tile_size"),
        ({"model": {"name": "resnet"}}, "resnet"),
        ({"task": {"name": "segmentation"}}, "segmentation"),
        (
            {"features": {"extractor": "x", "dimension": 8, "level": "slide", "tile_size_um": 256}},
            "level is slide",
        ),
        (
            {
                "features": {"extractor": "x", "dimension": 8, "level": "patient"},
                "model": {"name": "vit", "alibi": True},
            },
            "where tiles lie",
        ),
        ({"model": {"name": "clam"}, "task": SURVIVAL}, "clusters tiles"),
        ({"bag_size": 0}, "bag_size"),
        (
            {"features": {"extractor": "synthetic-0a1b2c3d", "dimension": 8}},
            "write extractor: synthetic and extractor_hash: 0a1b2c3d",
        ),
        ({"features": {"extractor": "x", "extractor_hash": "0A1B", "dimension": 8}}, "extractor_hash"),
        ({"task": CONFIG["task"] | {"label": "pred"}}, "would have 'pred' twice"),
        ({"task": CONFIG["task"] | {"label": "PATIENT"}}, "would have 'PATIENT' twice"),
        ({"task": CONFIG["task"] | {"label": " SUBTYPE"}}, "has spaces around it"),
        ({"task": CONFIG["task"], "files": {"patient": "SUBTYPE"}}, "is the column of ids"),
        ({"task": REGRESSION | {"label": "pred"}}, "would have 'pred' twice"),
        ({"task": SURVIVAL | {"status": "DAYS"}}, "would have 'DAYS' twice"),
        ({"task": SURVIVAL | {"intervals": 10**10}}, "1000"),
        (
            {
                "task": {
                    "name": "multi_target",
                    "targets": [
                        {"label": "y", "categories": ["A.x", "B"]},
                        {"label": "x.y", "categories": ["A", "B"]},
                    ],
                }
            },
            "would be of two labels",
        ),
        (
            {
                "task": {
                    "name": "multi_target",
                    "targets": [
                        {"label": "A", "categories": ["B", "C"]},
                        {"label": "A_B", "categories": ["x", "y"]},
                    ],
                }
            },
            "would have 'A_B' twice",
        ),
        ({"files": {"clini": "../other/clini"}}, "does not lie in the site's folder"),
        ({"files": {"features": "/features"}}, "does not lie in the site's folder"),
        ({"splits": {"table": "a/../../split"}}, "does not lie in the site's folder"),
    ],
)
def test_a_bad_config_is_refused_with_its_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    job = job_with(tmp_path, config=CONFIG | changes)
    with pytest.raises(JobError, match=message) as caught:
        load_pipeline(job)
    assert caught.value.code == "MS-J009"
    assert caught.value.file == str(job.folder / "job.yml")


def test_a_metric_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="auroc_macro") as caught:
        load_pipeline(job_with(tmp_path, config=CONFIG | {"task": SURVIVAL}))
    assert caught.value.code == "MS-J010"


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        (CONFIG["task"], "support_rare"),
        (MULTI_TARGET, "support_low.GRADE"),
        (SURVIVAL, "events"),
        (SURVIVAL, "risk_cut_off"),
    ],
)
def test_a_model_is_not_selected_by_a_count(task: dict[str, Any], metric: str, tmp_path: Path) -> None:
    selection = {"metric": metric, "mode": "max"}
    with pytest.raises(JobError, match=metric) as caught:
        load_pipeline(job_with(tmp_path, config=CONFIG | {"task": task}, selection=selection))
    assert caught.value.code == "MS-J010"
    assert metric in stamp(task=task).reported


def test_survival_in_batches_of_one_patient_is_refused(tmp_path: Path) -> None:
    """The loss would be 0 for every model."""
    selection = {"metric": "c_index", "mode": "max"}
    job = job_with(tmp_path, config=CONFIG | {"task": SURVIVAL}, selection=selection)
    load_pipeline(job)
    for size in (1, 2):  # of an odd number of patients, batches of two leave one
        with pytest.raises(JobError, match=rf"training\.batch_size is {size}") as caught:
            load_pipeline(job.varied(training=job.training.model_copy(update={"batch_size": size})))
        assert caught.value.code == "MS-B056"
    load_pipeline(job.varied(training=job.training.model_copy(update={"batch_size": 3})))
    alone = job_with(tmp_path, training={"batch_size": 1, "local": {"epochs": 1}})
    load_pipeline(alone)


# -- a site's data --------------------------------------------------------------------------------------


def test_all_slides_of_a_patient_are_in_its_bag_though_the_table_is_not_sorted(cohort: Path) -> None:
    """D8."""
    listed = rows_of(cohort / "big" / "slide.csv")
    assert [row["PATIENT"] for row in listed] != sorted(row["PATIENT"] for row in listed)
    data = stamp().data(Site("big", cohort))
    seen = 0
    for cases in (data.train, data.validation, data.test):
        for uid, (bag, _) in zip(cases.ids, (cases.dataset[i] for i in range(len(cases))), strict=True):
            files = [cohort / "big" / "features" / row["FILENAME"] for row in listed if row["PATIENT"] == uid]
            tiles = 0
            for file in files:
                with h5py.File(file) as stored:
                    tiles += len(stored["feats"])
            assert bag["features"].shape == (tiles, FEATURES)
            assert bag["mask"].all()
            seen += len(files)
    assert seen == len(listed)


def test_training_draws_other_tiles_in_each_epoch_and_judgement_sees_all(cohort: Path) -> None:
    data = stamp(bag_size=5).data(Site("big", cohort))

    def bags(seed: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        batches = training_batches(data.train, len(data.train), 2, generator, torch.device("cpu"))
        shown = []
        for inputs, targets in batches:
            assert inputs["features"].shape[:2] == inputs["mask"].shape == (len(data.train), 5)
            order = targets[:, 0].argsort(stable=True)
            shown.append(inputs["features"].float().sum(dim=(1, 2))[order].sort().values)
        return shown

    first, second = bags(1)
    assert not torch.equal(first, second)
    assert all(torch.equal(one, other) for one, other in zip(bags(1), (first, second), strict=True))
    assert not torch.equal(first, bags(2)[0])


def test_splits_are_by_patient_stratified_and_stay_when_patients_come(own: Site) -> None:
    pipeline = stamp()
    before = pipeline.data(own)
    ids = [set(cases.ids) for cases in (before.train, before.validation, before.test)]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 18
    assert own.scratch_dir is not None
    (kept,) = (own.scratch_dir / "splits").iterdir()

    name = "aaa.h5"
    shutil.copy(next((own.folder / "features").glob("*.h5")), own.folder / "features" / name)
    with h5py.File(own.folder / "features" / name, "r+") as file:
        file["feats"][0, 0] += 1.0
    rewrite(
        own.folder / "clini.csv", lambda rows: rows.append(dict(rows[0], PATIENT="newcomer", SUBTYPE="rare"))
    )
    rewrite(own.folder / "slide.csv", lambda rows: rows.append({"PATIENT": "newcomer", "FILENAME": name}))
    after = pipeline.data(own)
    assert [set(cases.ids) for cases in (after.train, after.validation, after.test)] == ids
    warned = {finding.code: finding for finding in pipeline.check(own) if finding.status == "WARN"}
    assert warned["MS-D118"].file == str(kept)
    assert warned["MS-D118"].cases == ("newcomer",)

    without = Site(own.name, own.data_dir)
    assert sum(map(len, (cases := pipeline.data(without)).train.ids)) > 0
    assert "newcomer" in {*cases.train.ids, *cases.validation.ids, *cases.test.ids}


def test_a_fold_is_another_part_of_the_same_draw(cohort: Path) -> None:
    folds = [stamp(splits={"folds": 4, "fold": fold}).data(Site("big", cohort)) for fold in range(4)]
    tested = [uid for fold in folds for uid in fold.test.ids]
    assert len(tested) == len(set(tested)) == 52
    assert folds[0].validation.ids == folds[1].test.ids


def test_a_split_table_of_the_site_decides_where_the_job_names_one(own: Site) -> None:
    ids = [row["PATIENT"] for row in rows_of(own.folder / "clini.csv")]
    with (own.folder / "who.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["PATIENT", "Split", "Fold"])
        table.writerows((uid, ("train", "val", "test")[index % 3], 2) for index, uid in enumerate(ids))
    data = stamp(splits={"table": "who", "fold": 2}).data(own)
    assert list(data.validation.ids) == sorted(ids[1::3])
    with pytest.raises(DataError, match="Fold 0") as caught:
        stamp(splits={"table": "who"}).data(own)
    assert caught.value.code == "MS-D114"


def test_without_a_writable_scratch_directory_the_draw_is_the_same_and_said_not_to_be_kept(own: Site) -> None:
    assert own.scratch_dir is not None
    own.scratch_dir.write_text("a file")
    (warned,) = (finding for finding in stamp().check(own) if finding.status == "WARN")
    assert (warned.code, warned.subject) == ("MS-B071", "splits")
    assert stamp().data(own).train.ids == stamp().data(Site(own.name, own.data_dir)).train.ids


def test_one_finding_for_each_broken_rule_and_the_first_is_raised(own: Site) -> None:
    features = own.folder / "features"
    files = sorted(features.glob("*.h5"))
    with h5py.File(files[0], "r+") as file:
        file["feats"][3, 2] = float("nan")
    with h5py.File(files[1], "r+") as file:
        file.attrs["extractor"] = "other-0a1b2c3d"
    files[2].write_bytes(files[2].read_bytes()[:900])
    rewrite(own.folder / "clini.csv", lambda rows: rows[4].update(SUBTYPE="Common"))
    found = stamp().check(own)
    failed = [finding.code for finding in found if finding.status == "FAIL"]
    assert sorted(failed) == ["MS-B001", "MS-B008", "MS-B030", "MS-B031", "MS-B051"]
    label = next(finding for finding in found if finding.code == "MS-B051")
    assert label.file == f"{own.folder / 'clini.csv'}:6"
    assert len(label.cases) == 1
    assert label.cases[0] not in label.message
    with pytest.raises(DataError, match="and 3 more failed checks") as caught:
        stamp().data(own)
    assert caught.value.code in failed


def test_files_that_the_table_names_and_are_missing_are_one_finding(own: Site) -> None:
    for file in sorted((own.folder / "features").glob("*.h5"))[:2]:
        file.unlink()
    failed = [finding for finding in stamp().check(own) if finding.status == "FAIL"]
    assert [(finding.code, len(finding.cases)) for finding in failed] == [("MS-B023", 2)]


def test_a_link_that_leads_nowhere_is_a_missing_file_in_check_and_training(own: Site) -> None:
    file = next((own.folder / "features").glob("*.h5"))
    file.unlink()
    file.symlink_to("nowhere.h5")
    failed = [finding for finding in stamp().check(own) if finding.status == "FAIL"]
    assert [finding.code for finding in failed] == ["MS-B023"]
    with pytest.raises(DataError) as caught:
        stamp().data(own)
    assert caught.value.code == "MS-B023"


def test_a_withdrawn_patient_does_not_stop_the_site_and_is_counted_when_training_starts(
    own: Site, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = stamp()
    before = pipeline.data(own)
    gone = before.train.ids[0]
    rewrite(own.folder / "clini.csv", lambda rows: [row for row in rows if row["PATIENT"] != gone])
    caplog.clear()
    after = pipeline.data(own)
    assert list(after.train.ids) == list(before.train.ids[1:])
    assert (after.validation.ids, after.test.ids) == (before.validation.ids, before.test.ids)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("mediswarm")]
    assert [line.split(": ")[:2] for line in said] == [
        ["site small", "MS-B026"],
        ["site small", "MS-B072"],
    ]
    assert gone not in caplog.text


def test_a_category_that_the_site_does_not_have_at_all_is_said(own: Site) -> None:
    rewrite(own.folder / "clini.csv", lambda rows: [row for row in rows if row["SUBTYPE"] != "rare"])
    said = {finding.message: finding.code for finding in stamp().check(own) if finding.subject == "support"}
    assert set(said.values()) == {"MS-D117"}
    assert all("0 rare" in message for message in said)
    rewrite(own.folder / "clini.csv", lambda rows: [dict(row, STATUS="alive") for row in rows])
    said = {
        finding.message: finding.code
        for finding in stamp(task=SURVIVAL).check(own)
        if finding.subject == "support"
    }
    assert set(said.values()) == {"MS-D117"}
    assert all("0 event" in message for message in said)


def test_features_that_are_not_those_of_the_job_are_refused(cohort: Path) -> None:
    """D7: of the same length, from another extractor, or with another hash."""
    for declared in (
        {"extractor": "uni2", "dimension": FEATURES},
        {"extractor": "synthetic", "extractor_hash": "ffffffff", "dimension": FEATURES},
        {"extractor": "synthetic", "dimension": FEATURES, "tile_size_um": 224},
        {"extractor": "synthetic", "dimension": FEATURES + 1},
    ):
        with pytest.raises(DataError) as caught:
            stamp(features=declared).data(Site("small", cohort))
        assert caught.value.code == "MS-B031"


def test_sites_whose_extractors_differ_in_their_hash_do_not_train_together(
    cohort: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name in ("middle", "small"):
        shutil.copytree(cohort / name, data / name)
    for file in (data / "small" / "features").glob("*.h5"):
        with h5py.File(file, "r+") as stored:
            stored.attrs["extractor"] = "synthetic-ffffffff"
    run = ReferenceRun(job_with(tmp_path), [Site("middle", data), Site("small", data)], tmp_path / "run")
    with pytest.raises(ContractError, match="ffffffff") as caught:
        run.run()
    assert caught.value.code == "MS-C001"


def test_files_of_patch_embeddings_that_say_nothing_more_need_the_job_s_word(
    cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    for name in ("middle", "small"):
        shutil.copytree(cohort / name, data / name)

    def bare(site: str) -> None:
        for file in (data / site / "features").glob("*.h5"):
            with h5py.File(file) as stored:
                features = stored["feats"][:]
            with h5py.File(file, "w") as stored:
                stored["patch_embeddings"] = features

    bare("small")
    with pytest.raises(DataError, match="file names no extractor") as caught:
        stamp().data(Site("small", data))
    assert caught.value.code == "MS-B007"
    config = CONFIG | {"features": CONFIG["features"] | {"undeclared": True}}
    seen = stamp(features=config["features"]).data(Site("small", data))
    assert seen.measured["measured_features"]["extractor"] is None
    assert "MS-B033" in caplog.text
    job = job_with(tmp_path, config=config, workflow={"name": "fedavg", "rounds": 1})
    sites = [Site("middle", data), Site("small", data)]
    with pytest.raises(ContractError, match="measured_features") as differ:
        ReferenceRun(job, sites, tmp_path / "differ").run()
    assert differ.value.code == "MS-C001"
    bare("middle")
    record = ReferenceRun(job, sites, tmp_path / "run").run()
    assert record["state"] == "succeeded"
    assert record["contract"]["measured_features"]["extractor"] is None


def test_a_table_that_is_there_twice_is_refused(own: Site) -> None:
    (own.folder / "clini.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"clini\.csv and clini\.xlsx") as caught:
        stamp().data(own)
    assert caught.value.code == "MS-B070"
    (own.folder / "clini.csv").rename(own.folder / "patients.csv")
    (own.folder / "slide.csv").rename(own.folder / "slides.csv")
    (own.folder / "features").rename(own.folder / "uni")
    rewrite(own.folder / "patients.csv", lambda rows: [_renamed(row, "PATIENT", "Case") for row in rows])
    rewrite(own.folder / "slides.csv", lambda rows: [_renamed(row, "PATIENT", "Case") for row in rows])
    names = {"clini": "patients", "slide": "slides", "features": "uni", "patient": "Case"}
    assert len(stamp(files=names).data(own).train)


def _renamed(row: dict[str, str], old: str, new: str) -> dict[str, str]:
    return {new if name == old else name: text for name, text in row.items()}


def test_a_model_that_needs_coordinates_refuses_files_without(own: Site) -> None:
    file = next((own.folder / "features").glob("*.h5"))
    with h5py.File(file, "r+") as stored:
        del stored["coords"]
    assert len(stamp().data(own).train)
    with pytest.raises(DataError, match="no coordinates") as caught:
        stamp(model=CONFIG["model"] | {"alibi": True}).data(own)
    assert caught.value.code == "MS-B004"


@pytest.mark.parametrize("level", ["slide", "patient"])
def test_one_vector_for_each_slide_or_patient(tmp_path: Path, level: Any) -> None:
    folder = tmp_path / "north"
    folder.mkdir()
    ids = [f"p{index:02}" for index in range(20)]
    with (folder / "clini.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ("PATIENT", "SUBTYPE"),
                *((uid, ("common", "other", "rare")[i % 3]) for i, uid in enumerate(ids)),
            ]
        )
    slides = [(uid, f"{uid}_{number}.h5") for uid in ids for number in (1, 2)]
    if level == "slide":
        with (folder / "slide.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("PATIENT", "FILENAME"), *slides])
    vectors = torch.arange(40.0 * FEATURES).reshape(40, FEATURES).numpy()
    names = [name for _, name in slides] if level == "slide" else [f"{uid}.h5" for uid in ids]
    for name, vector in zip(names, vectors, strict=False):
        write_features(folder / "features" / name, vector, extractor="titan-12345678", kind=level)
    declared = {"extractor": "titan", "dimension": FEATURES, "level": level}
    data = stamp(features=declared).data(Site("north", tmp_path))
    bag, target = data.train.dataset[0]
    assert bag["features"].shape == (2 if level == "slide" else 1, FEATURES)
    assert target.tolist() == [ids.index(data.train.ids[0]) % 3]


# -- training ---------------------------------------------------------------------------------------------


def test_three_sites_learn_more_than_chance_and_write_their_predictions(cohort: Path, tmp_path: Path) -> None:
    job = job_with(tmp_path, workflow={"name": "fedavg", "rounds": 4})
    sites = [Site(site.name, cohort, tmp_path / site.name) for site in SITES]
    record = ReferenceRun(job, sites, tmp_path / "run").run()
    assert record["best"]["value"] > 0.85
    table = read_predictions(
        tmp_path / "run" / "sites" / "big" / "predictions" / "test.csv", ("common", "other", "rare")
    )
    assert set(table.targets) == {0, 1, 2}
    assert len(set(table.cases)) == len(table) == record["participants"]["big"]["cases"]["test"]
    assert json.loads((tmp_path / "run" / "best" / "model.json").read_text())["contract"]["classes"]


@pytest.mark.parametrize(
    ("task", "metric", "least", "columns"),
    [
        (SURVIVAL, "c_index", 0.6, ["case", "target_DAYS", "target_STATUS", "log_risk"]),
        (REGRESSION, "pearson", 0.3, ["case", "target", "prediction"]),
        (MULTI_TARGET, None, 0.0, ["case", "target_SUBTYPE", "target_GRADE"]),
    ],
    ids=["survival", "regression", "multi_target"],
)
def test_every_task_trains_and_is_judged(
    task: dict[str, Any], metric: str | None, least: float, columns: list[str], cohort: Path, tmp_path: Path
) -> None:
    weights = "events" if task["name"] == "survival" else "cases"
    metric = metric or stamp(task=task).reported[0]
    job = job_with(
        tmp_path,
        config=CONFIG | {"task": task},
        workflow={"name": "fedavg", "rounds": 4, "weights": weights},
        selection={"metric": metric, "mode": "max"},
    )
    record = ReferenceRun(job, [Site(site.name, cohort) for site in SITES], tmp_path / "run").run()
    assert record["best"]["value"] > least
    rows = rows_of(tmp_path / "run" / "sites" / "big" / "predictions" / "test.csv")
    assert list(rows[0])[: len(columns)] == columns
    contributions = rows_of(tmp_path / "run" / "contributions.csv")
    if weights == "events":
        data = stamp(task=task).data(Site("big", cohort))
        events = sum(float(data.train.dataset[index][1][1]) for index in range(len(data.train)))
        assert {float(row["weight"]) for row in contributions if row["site"] == "big"} == {events}


@pytest.mark.parametrize("model", ["trans_mil", "mlp", "linear", "barspoon", "abmil", "clam"])
def test_every_model_is_trained_and_judged(model: str, cohort: Path, tmp_path: Path) -> None:
    small: dict[str, Any] = {"name": model}
    if model in ("trans_mil", "barspoon"):
        small |= {"width": 16, "heads": 2}
    config = CONFIG | {"model": small}
    job = job_with(tmp_path, config=config, workflow={"name": "fedavg", "rounds": 1})
    record = ReferenceRun(job, [Site("middle", cohort), Site("small", cohort)], tmp_path / "run").run()
    assert record["state"] == "succeeded"


def test_features_that_are_no_numbers_are_named_when_training_meets_them(own: Site) -> None:
    """Without a check before: only headers are read at the start of a run."""
    pipeline = stamp()
    data = pipeline.data(own)
    file = next(
        row["FILENAME"] for row in rows_of(own.folder / "slide.csv") if row["PATIENT"] == data.train.ids[0]
    )
    with h5py.File(own.folder / "features" / file, "r+") as stored:
        stored["feats"][:] = float("nan")
    data = pipeline.data(own)
    learner = TorchLearner(pipeline, data, Training())
    with pytest.raises(DataError, match="hold NaN or infinity") as caught:
        learner.train(RoundPlan(round=0, rounds=1, seed=0))
    assert caught.value.code == "MS-B008"
    assert caught.value.file == str(own.folder / "features" / file)


def test_a_survival_loss_compares_all_patients_of_a_split(cohort: Path) -> None:
    """One patient alone has a partial likelihood of 1."""
    pipeline = stamp(task=SURVIVAL)
    data = pipeline.data(Site("big", cohort))
    torch.manual_seed(0)
    learner = TorchLearner(pipeline, data, Training())
    judged = learner.predict(data.validation)
    assert judged.loss > 0.5
    assert judged.loss == pytest.approx(float(pipeline.loss(judged.outputs, judged.targets)), rel=1e-5)


@pytest.mark.parametrize(
    "task", [CONFIG["task"], SURVIVAL, REGRESSION, MULTI_TARGET], ids=lambda task: task["name"]
)
def test_a_step_can_be_measured_without_data(task: dict[str, Any], tmp_path: Path) -> None:
    pipeline = stamp(task=task)
    metric = {"metric": pipeline.reported[0], "mode": "max"}
    job = job_with(tmp_path, config=CONFIG | {"task": task}, selection=metric)
    assert estimate_step(job, pipeline, "cpu").seconds_per_case > 0


def test_the_shipped_jobs_keep_every_rule_with_a_smaller_network(cohort: Path, tmp_path: Path) -> None:
    for name in ("STAMP_classification", "STAMP_survival", "STAMP_regression"):
        job = load_job(JOBS / name)
        config = job.config | {key: CONFIG[key] for key in ("features", "model", "bag_size")}
        findings = check_pipeline(job.varied(config=config), cohort)
        assert [finding for finding in findings if finding.status != "PASS"] == []
