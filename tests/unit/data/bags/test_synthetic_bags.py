"""The synthetic cohort keeps the format's rules, and holds what can be learned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from mediswarm.data.bags.feature_checks import FeatureIdentity, FeatureSurvey
from mediswarm.data.bags.patients import Patients
from mediswarm.data.bags.synthetic_bags import (
    CLINICAL_COLUMNS,
    STUDY_END_DAYS,
    BagSize,
    SyntheticBagSite,
    write_synthetic_bags,
)
from mediswarm.data.bags.tile_reader import read_tiles

SITE = SyntheticBagSite("one", (4, 3, 2), shift=1.0, gain=1.0)
SMALL = BagSize(tiles=(5, 9), features=8)


def read(site: Path) -> Patients:
    return Patients.read(site / "clini.csv", site / "slide.csv", site / "features", CLINICAL_COLUMNS[1:])


def test_it_keeps_every_rule_of_the_format(cohort: Path) -> None:
    for name in ("north", "south"):
        patients = read(cohort / name)
        assert patients.findings == []
        survey = FeatureSurvey.of({uid: p.files for uid, p in patients.patients.items()}, numbers=True)
        assert survey.findings(FeatureIdentity("synthetic", "0a1b2c3d", 256.0, 16, "tile"), coords=True) == []
        assert survey.copies() == []
        assert max(len(p.files) for p in patients.patients.values()) == 3
        rows = [line.split(",")[0] for line in (cohort / name / "slide.csv").read_text().splitlines()[1:]]
        assert rows != sorted(rows)


def test_classes_and_survival_are_as_asked_for(cohort: Path) -> None:
    rows = [patient.row for patient in read(cohort / "north").patients.values()]
    assert Counter(row["SUBTYPE"] for row in rows) == {"common": 20, "other": 15, "rare": 5}
    assert {row["STATUS"] for row in rows} == {"dead", "alive"}
    assert all(1 <= float(row["DAYS"]) <= STUDY_END_DAYS for row in rows)


def test_the_same_seed_gives_the_same_cohort(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_synthetic_bags(tmp_path / name, seed, (SITE,), SMALL)
    tables = [(tmp_path / name / "one" / "clini.csv").read_text() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]
    files = sorted(file.name for file in (tmp_path / "a" / "one" / "features").iterdir())
    for file in files:
        one, other = (read_tiles(tmp_path / name / "one" / "features" / file)[0] for name in "ab")
        assert np.array_equal(one, other)


def test_a_site_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    write_synthetic_bags(tmp_path, 1, (SITE,), SMALL)
    with pytest.raises(FileExistsError):
        write_synthetic_bags(tmp_path, 1, (SITE,), SMALL)


def test_class_value_and_risk_can_be_learned_at_another_site_of_the_same_scanner(tmp_path: Path) -> None:
    sites = [SyntheticBagSite(name, (60, 60, 60), shift=0.0, gain=1.0) for name in ("a", "b")]
    write_synthetic_bags(tmp_path, 3, sites, BagSize(tiles=(40, 80), features=16, slides=1))
    means, rows = [], []
    for name in ("a", "b"):
        patients = read(tmp_path / name).patients.values()
        rows.append([patient.row for patient in patients])
        # tiles of the tumour are the longest vectors
        tiles = [read_tiles(patient.files[0])[0].astype(float) for patient in patients]
        means.append(np.stack([bag[np.argsort(np.linalg.norm(bag, axis=1))[-4:]].mean(0) for bag in tiles]))
    subtype, value, days = (
        [[row[key] for row in site] for site in rows] for key in ("SUBTYPE", "VALUE", "DAYS")
    )
    assert LogisticRegression(max_iter=500).fit(means[0], subtype[0]).score(means[1], subtype[1]) > 0.8
    numbers = [np.array(site, dtype=float) for site in value]
    assert LinearRegression().fit(means[0], numbers[0]).score(means[1], numbers[1]) > 0.4
    times = [np.log(np.array(site, dtype=float)) for site in days]
    assert np.corrcoef(LinearRegression().fit(means[0], times[0]).predict(means[1]), times[1])[0, 1] > 0.4
