"""A synthetic cohort in STAMP's files and tables, from which class, value and survival can be learned.

For demos and tests. A patient's slides are mostly tiles of background; some are of a
tumour whose features point in a direction of the patient's class, and move along two
more directions with the patient's value and risk; besides, each patient's tumour has a
look of its own, so that few patients are not enough to find these directions. Each site's
scanner shifts and scales all features.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediswarm.data.bags.feature_file import LEGACY_TILE_UM
from mediswarm.data.bags.feature_writer import write_features

CLASSES = ("common", "other", "rare")
GRADES = ("low", "high")
EXTRACTOR = "synthetic-0a1b2c3d"
CLINICAL_COLUMNS = ("PATIENT", "SUBTYPE", "GRADE", "VALUE", "DAYS", "STATUS")
STUDY_END_DAYS = 1825
"""Who has no event until then is censored then."""

_CLASS, _TREND = 2.5, 2.5
"""How far a class, and one standard deviation of value or risk, move a tumour's features."""
_MEDIAN_DAYS = 900.0
_LOG_HAZARD_PER_RISK = 1.6
_DROPOUT = 0.15
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SyntheticBagSite:
    """A site to be made: its patients of each class, and its scanner.

    `shift` is the length of the vector added to all features, where the noise of a
    feature is 1; `gain` the factor on them.
    """

    name: str
    patients: tuple[int, int, int]
    shift: float
    gain: float


DEMO_SITES = (
    SyntheticBagSite("site-1", (70, 60, 20), shift=1.0, gain=1.0),
    SyntheticBagSite("site-2", (25, 50, 15), shift=2.0, gain=1.2),
    SyntheticBagSite("site-3", (30, 12, 6), shift=1.5, gain=0.9),
)


@dataclass(frozen=True)
class BagSize:
    """How many tiles a slide has (drawn evenly), features a tile, and slides a patient at most.

    `spread` is the standard deviation of each feature between tumours of one kind, where
    that between tiles is 1: the larger, the more patients are needed to learn.
    """

    tiles: tuple[int, int] = (60, 300)
    features: int = 64
    slides: int = 3
    spread: float = 1.0


def write_synthetic_bags(
    folder: Path, seed: int = 0, sites: Sequence[SyntheticBagSite] = DEMO_SITES, size: BagSize | None = None
) -> None:
    """Write `<site>/clini.csv`, `<site>/slide.csv` and `<site>/features/*.h5` below `folder`.

    The slide table is not sorted by patient. SUBTYPE is one of :data:`CLASSES`, GRADE follows
    from the value, VALUE is about standard normal, DAYS and STATUS are of exponential survival
    with proportional hazards, censored by dropout and the study's end.

    Raises:
        FileExistsError: a site's folder is there already.
    """
    size = size or BagSize()
    directions = _directions(np.random.default_rng(seed), size.features)
    for index, site in enumerate(sites):
        _write_site(folder / site.name, site, size, directions, np.random.default_rng((seed, index)))


def _directions(rng: np.random.Generator, features: int) -> _Floats:
    """Orthogonal unit vectors [classes + 2, features]: one for each class, then value and risk."""
    rows = len(CLASSES) + 2
    return np.linalg.qr(rng.standard_normal((features, rows)))[0].T


def _write_site(
    folder: Path, site: SyntheticBagSite, size: BagSize, directions: _Floats, rng: np.random.Generator
) -> None:
    folder.mkdir(parents=True)
    shift = rng.standard_normal(size.features)
    shift *= site.shift / np.linalg.norm(shift)
    clinical, slides = [], []
    for number, label in enumerate(
        rng.permutation(np.repeat(np.arange(len(CLASSES)), site.patients)), start=1
    ):
        patient = f"{site.name}-{number:04d}"
        value, risk = rng.standard_normal(2)
        days, status = _survival(risk, rng)
        clinical.append(
            (patient, CLASSES[label], GRADES[int(value > 0)], f"{value:.4f}", f"{days:.0f}", status)
        )
        signal = _CLASS * directions[label] + _TREND * (value * directions[-2] + risk * directions[-1])
        signal += size.spread * rng.standard_normal(size.features)
        for slide in range(1, int(rng.integers(1, size.slides + 1)) + 1):
            name = f"{patient}_{slide}.h5"
            features, coords = _slide(signal, size, rng)
            write_features(
                folder / "features" / name, site.gain * (features + shift), coords, extractor=EXTRACTOR
            )
            slides.append((patient, name))
    _write_table(folder / "clini.csv", CLINICAL_COLUMNS, clinical)
    _write_table(
        folder / "slide.csv", ("PATIENT", "FILENAME"), [slides[i] for i in rng.permutation(len(slides))]
    )


def _slide(signal: _Floats, size: BagSize, rng: np.random.Generator) -> tuple[_Floats, _Floats]:
    """Features [T, F] and coordinates [T, 2] of a slide whose tumour lies in one corner of the tissue."""
    tiles = int(rng.integers(size.tiles[0], size.tiles[1] + 1))
    width = int(np.ceil(np.sqrt(tiles)))
    cells = np.stack(np.divmod(np.arange(tiles), width), axis=1)[:, ::-1]
    features = rng.standard_normal((tiles, size.features))
    nearest = np.argsort(np.linalg.norm(cells - cells[rng.integers(tiles)], axis=1), kind="stable")
    tumour = nearest[: max(4, int(rng.uniform(0.1, 0.3) * tiles))]
    features[tumour] += signal
    return features, cells * LEGACY_TILE_UM


def _survival(risk: float, rng: np.random.Generator) -> tuple[float, str]:
    """Days and status of a patient whose log hazard is proportional to `risk`."""
    event = rng.exponential(_MEDIAN_DAYS / np.log(2)) / np.exp(_LOG_HAZARD_PER_RISK * risk)
    leaves = rng.uniform(30, STUDY_END_DAYS) if rng.random() < _DROPOUT else float(STUDY_END_DAYS)
    return max(1.0, min(event, leaves)), "dead" if event <= leaves else "alive"


def _write_table(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
