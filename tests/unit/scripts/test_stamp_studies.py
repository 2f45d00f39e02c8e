"""How the studies on bags divide patients: all methods are judged on the same ones, and train on none."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mediswarm.pipelines import Site, load_pipeline

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts" / "evaluation"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_all_methods_of_the_cohort_are_judged_on_the_same_patients(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = load("stamp_cohorts", monkeypatch)
    few = [script.SyntheticBagSite(name, (8, 6, 6), shift=1.0, gain=1.0) for name in ("north", "south")]
    monkeypatch.setattr(script, "COHORT", few)
    sites = script.write_layout(tmp_path)
    job = script.job_for("classification", 0, 1)
    data = {name: load_pipeline(job).data(Site(name, tmp_path)) for name in (*sites, script.POOLED)}
    assert {tuple(found.test.ids) for found in data.values()} == {tuple(data[script.POOLED].test.ids)}
    tested = set(data[script.POOLED].test.ids)
    trained = [uid for site in sites for uid in data[site].train.ids]
    assert sorted(trained) == sorted(data[script.POOLED].train.ids)
    assert not tested & {*trained, *(uid for site in sites for uid in data[site].validation.ids)}
    assert len(tested) + len(trained) < sum(sum(site.patients) for site in script.COHORT)


def test_each_bag_is_held_out_once_in_each_repetition(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = load("mil_bags", monkeypatch)
    random = np.random.default_rng(0)
    bag = np.repeat(np.arange(200), 2)
    np.savez(tmp_path / "toy.npz", X=random.normal(size=(400, 5)), bag=bag, label=np.arange(200) % 2)
    assert script.write_layouts(tmp_path / "toy.npz", tmp_path / "data", 2) == 5
    for layout, sites in script.LAYOUTS.items():
        held: Counter[tuple[str, int]] = Counter()
        for site in sites:
            with (tmp_path / "data" / layout / site / "split.csv").open(newline="") as stream:
                for row in csv.DictReader(stream):
                    held[row["PATIENT"], int(row["Fold"]) // script.FOLDS] += row["Split"] == "val"
        assert set(held.values()) == {1}
        assert len(held) == 200 * 2
        job = script.write_job(tmp_path, "toy", 5, 13, 1)
        data = [load_pipeline(job).data(Site(site, tmp_path / "data" / layout)) for site in sites]
        assert sum(len(found.validation) for found in data) == 20
        assert sum(len(found.train) for found in data) == 180
