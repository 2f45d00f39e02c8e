"""The public volumes as sites of the ODELIA pipeline, and one run of the script that trains on them."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest

from mediswarm.pipelines import load_pipeline

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts" / "evaluation"


def load(name: str, monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sites(monkeypatch) -> ModuleType:
    return load("real_volume_sites", monkeypatch)


@pytest.fixture
def script(sites, monkeypatch) -> ModuleType:
    return load("real_volumes", monkeypatch)


def real_file(real_data: Path, name: str) -> Path:
    if not (real_data / name).exists():
        pytest.skip(f"{name} is not in the folder of real data sets")
    return real_data / name


@pytest.fixture
def few_adrenal(tmp_path) -> Path:
    """A file like the official one, of few cases: bright cubes are hyperplasia."""
    random = np.random.default_rng(3)
    arrays = {}
    for split, count in (("train", 18), ("val", 6), ("test", 4)):
        labels = np.arange(count) % 2
        images = random.integers(0, 2, (count, 28, 28, 28))
        images[labels == 1, 4:20, 4:20, 4:20] = 1
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels[:, None]}
    file = tmp_path / "sets" / "adrenal" / "adrenalmnist3d.npz"
    file.parent.mkdir(parents=True)
    np.savez(file, **arrays)
    return file


def test_sites_share_training_cases_out_and_hold_all_test_cases(sites, few_adrenal, tmp_path):
    cases = sites.adrenal_cases(few_adrenal)
    everything = sites.write_pooled(tmp_path / "data", cases)
    sites.write_sites(tmp_path / "data", cases, everything, [(1 / 3,) * 3, (2 / 3, 1 / 3, 0)])
    held, labels = {}, {}
    for name in (*sites.SITES, sites.POOLED):
        tables = tmp_path / "data" / name / "metadata_unilateral"
        with (tables / "split.csv").open(newline="") as stream:
            held[name] = {row["UID"]: row["Split"] for row in csv.DictReader(stream)}
        with (tables / "annotation.csv").open(newline="") as stream:
            labels[name] = {row["UID"]: row["Lesion"] for row in csv.DictReader(stream)}
        assert held[name].keys() == labels[name].keys()
    assert all(held[name].items() <= held[sites.POOLED].items() for name in sites.SITES)
    assert all(labels[name].items() <= labels[sites.POOLED].items() for name in sites.SITES)
    trained = Counter(uid for name in sites.SITES for uid, split in held[name].items() if split != "test")
    assert set(trained.values()) == {1}
    assert len(trained) == 24
    test = {case.uid for case in cases if case.split == "test"}
    assert all(test <= held[name].keys() for name in sites.SITES)
    shares = {
        name: Counter(labels[name][uid] for uid, split in held[name].items() if split == "train")
        for name in sites.SITES
    }
    assert shares == {"site-1": {"0": 3, "1": 6}, "site-2": {"0": 3, "1": 3}, "site-3": {"0": 3}}
    written = tmp_path / "data" / "site-1" / "data_unilateral" / "adrenal-20001" / "Sub_1.nii.gz"
    np.testing.assert_array_equal(
        np.asarray(nibabel.load(written).dataobj), np.load(few_adrenal)["test_images"][1]
    )


def test_the_hippocampus_files_are_kept_and_labelled_by_size(sites, script, real_data, tmp_path):
    folder = real_file(real_data, "hippocampus")
    cases = sites.hippocampus_cases(folder)
    assert Counter(case.split for case in cases) == {"train": 156, "val": 39, "test": 65}
    assert len({case.uid for case in cases}) == 260
    train = [case for case in cases if case.split == "train"]
    assert Counter(case.label for case in train) == {0: 52, 1: 52, 2: 52}

    def labelled(case):
        return int(np.count_nonzero(nibabel.load(folder / "labels" / case.image.name).dataobj))

    largest_small = max(labelled(case) for case in train if case.label == 0)
    assert all((labelled(case) <= largest_small) == (case.label == 0) for case in train)
    whole, cut = (script.edges_auc(cases, size) for size in ((99,) * 3, (36, 48, 36)))
    assert 0.5 < cut < whole < 0.8
    few = cases[:2]
    everything = sites.write_pooled(tmp_path, few)
    for case in few:
        written = everything / "data_unilateral" / case.uid / "Sub_1.nii.gz"
        assert written.read_bytes() == case.image.read_bytes()


def test_the_official_adrenal_file_has_the_published_splits(sites, real_data):
    cases = sites.adrenal_cases(real_file(real_data, "adrenal/adrenalmnist3d.npz"))
    assert Counter((case.split, case.label) for case in cases) == {
        ("train", 0): 929, ("train", 1): 259, ("val", 0): 76, ("val", 1): 22,
        ("test", 0): 229, ("test", 1): 69,
    }  # fmt: skip


def test_every_backbone_and_head_makes_a_job_that_can_be_loaded(script, tmp_path):
    for question in script.QUESTIONS:
        for backbone in script.BACKBONES:
            for head in ("softmax", "ordinal"):
                job = script.write_job(tmp_path, question, backbone, head, 2, 0)
                pipeline = load_pipeline(job)
                assert pipeline.head == head
                assert pipeline.config.backbone.name == backbone


def test_the_script_trains_pooled_and_federated_and_writes_what_it_found(
    script, few_adrenal, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "results.json"
    options = {
        "folder": few_adrenal.parents[1],
        "data": "adrenal",
        "backbones": "cnn3d",
        "epochs": 2,
        "json": out,
    }
    command = [f"--{name}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", ["real_volumes.py", *command])
    script.main()
    rows = json.loads(out.read_text())["results"]
    assert [(row["method"], row["test_cases"]) for row in rows] == [("pooled", 4), ("federated", 4)]
    assert all(0 <= row["low"] <= row["auc"] <= row["high"] <= 1 for row in rows)
    assert "cnn3d" in capsys.readouterr().out


def test_an_unknown_backbone_is_refused_with_those_there_are(script, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["real_volumes.py", f"--folder={tmp_path}", "--backbones=vgg"])
    with pytest.raises(SystemExit):
        script.main()
    assert "--backbones takes densenet121, cnn3d" in capsys.readouterr().err


def test_the_adrenal_table_rests_on_this_division(sites, real_data):
    """Whoever repeats the published comparison must divide the cases as it did."""
    cases = sites.adrenal_cases(real_file(real_data, "adrenal/adrenalmnist3d.npz"))
    train = [case for case in cases if case.split == "train"]
    parts = sites.divide(train, ((0.60, 0.30, 0.10), (0.10, 0.30, 0.60)))
    assert [Counter(case.label for case in part) for part in parts] == [
        {0: 557, 1: 26}, {0: 279, 1: 78}, {0: 93, 1: 155}
    ]  # fmt: skip
    assert [[int(case.uid[-5:]) for case in part[:4]] for part in parts] == [
        [2, 3, 4, 8], [0, 1, 6, 7], [5, 10, 15, 19]
    ]  # fmt: skip
