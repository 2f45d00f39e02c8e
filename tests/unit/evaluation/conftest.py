"""A made-up comparison: three sites of different size, local and federated predictions as files."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from mediswarm.evaluation import (
    ALL_SITES,
    FEDERATED,
    LOCAL,
    ContributionLine,
    Difference,
    Point,
    Result,
    RocCurve,
    RunFacts,
    compare_predictions,
    evaluate_predictions,
    roc_curves,
)

CLASSES = ("none", "benign", "malignant")
WritePredictions = Callable[..., Path]


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Writes raw rows under the right header for CLASSES, or under `header`."""

    def write(
        *rows: str, header: str = "case,target,p_none,p_benign,p_malignant", name: str = "test.csv"
    ) -> Path:
        path = tmp_path / name
        path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_predictions(tmp_path: Path) -> WritePredictions:
    """Writes predictions whose skill and class counts are given, and gives the file."""

    def write(
        name: str, counts: tuple[int, ...], skill: float, seed: int = 0, classes: tuple[str, ...] = CLASSES
    ) -> Path:
        generator = np.random.default_rng(seed)
        targets = np.repeat(np.arange(len(counts)), counts)
        logits = generator.normal(size=(len(targets), len(counts)))
        logits[np.arange(len(targets)), targets] += skill
        weights = np.exp(logits)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["case", "target", *(f"p_{label}" for label in classes)])
            for row, target in enumerate(targets):
                values = weights[row] / weights[row].sum()
                writer.writerow([f"case-{row:04d}", target, *(f"{value:.6g}" for value in values)])
        return path

    return write


@dataclass(frozen=True)
class Study:
    facts: RunFacts
    results: list[Result]
    differences: list[Difference]
    curves: list[RocCurve]


@pytest.fixture
def study(write_predictions: WritePredictions) -> Study:
    sites = {
        "hospital-north": ((52, 31, 27), 1.5, 2.0),
        "hospital-east": ((30, 14, 16), 1.1, 2.0),
        "clinic-south": ((12, 3, 11), 0.4, 1.9),
    }
    results: list[Result] = []
    differences: list[Difference] = []
    curves: list[RocCurve] = []
    for seed, (site, (counts, local, federated)) in enumerate(sites.items()):
        files = {
            method: write_predictions(f"{site}/{method}.csv", counts, skill, seed)
            for method, skill in ((LOCAL, local), (FEDERATED, federated))
        }
        for method, file in files.items():
            results += evaluate_predictions(file, site, method, CLASSES)
            curves += roc_curves(file, site, method, CLASSES)
        found = compare_predictions(files[LOCAL], files[FEDERATED], site, CLASSES)
        assert found is not None
        differences.append(found)
    return Study(_facts(tuple(sites)), results, differences, curves)


def _facts(sites: tuple[str, ...]) -> RunFacts:
    generator = np.random.default_rng(1)
    progress, lines = [], []
    for number in range(12):
        level = 0.86 - 0.36 * np.exp(-number / 3)
        for index, site in enumerate(sites):
            value = float(level - 0.02 * index + generator.normal(scale=0.012))
            progress.append(Point(number, site, "auroc_macro", value))
            loss = float(0.35 + 0.75 * np.exp(-number / 4) + 0.05 * index + generator.normal(scale=0.02))
            left_out = "MS-R005" if (number, index) == (7, 2) else None
            cases, steps = ((180, 23), (84, 11), (26, 4))[index]
            lines.append(ContributionLine(number, site, cases, steps, float(cases), loss, left_out))
        progress.append(Point(number, ALL_SITES, "auroc_macro", float(level)))
    return RunFacts(
        job="odelia_demo",
        job_hash="3f6c0b7a5d1e94827c0f6f2b9a4d3e518b7c6a5f4e3d2c1b0a99887766554433",
        description="Does the breast hold no lesion, a benign one or a malignant one?",
        pipeline="odelia 1",
        workflow="fedavg",
        rounds=12,
        sites=sites,
        classes=CLASSES,
        metric="auroc_macro",
        best_model=10,
        seconds={"data": 3.2, "local": 41.7, "federated": 88.4, "evaluation": 6.1},
        version="0.1.0",
        finished=datetime(2026, 11, 21, 9, 30, tzinfo=timezone.utc),
        progress=tuple(progress),
        contributions=tuple(lines),
    )
