"""A small synthetic cohort on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediswarm.data.bags.bag_dataset import BagDataset
from mediswarm.data.bags.feature_checks import FeatureSurvey
from mediswarm.data.bags.patients import Patients
from mediswarm.data.bags.synthetic_bags import BagSize, SyntheticBagSite, write_synthetic_bags


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<site>/clini.csv`, `slide.csv` and `features/` of two sites; only to be read."""
    folder = tmp_path_factory.mktemp("bags") / "cohort"
    sites = (
        SyntheticBagSite("north", (20, 15, 5), shift=1.0, gain=1.0),
        SyntheticBagSite("south", (12, 20, 4), shift=2.0, gain=1.3),
    )
    write_synthetic_bags(folder, 7, sites, BagSize(tiles=(20, 60), features=16))
    return folder


@pytest.fixture
def patients(cohort: Path) -> Patients:
    site = cohort / "north"
    return Patients.read(site / "clini.csv", site / "slide.csv", site / "features", ("SUBTYPE",))


@pytest.fixture
def bags(patients: Patients) -> BagDataset:
    files = {uid: patient.files for uid, patient in patients.patients.items()}
    headers = FeatureSurvey.of(files, numbers=False).headers
    return BagDataset(list(files), list(files.values()), [[float(i)] for i in range(len(files))], headers)
