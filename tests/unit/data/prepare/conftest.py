"""Synthetic examinations of a site, small enough for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mediswarm.data.prepare.breasts import Grid
from mediswarm.data.prepare.case import CaseOutcome
from mediswarm.data.prepare.preparation import Preparation, prepare_dicom
from mediswarm.data.synthetic_dicom import Scan, write_examination

SMALL_GRID = Grid(spacing_mm=(2.8, 2.8, 6.0), size=(64, 64, 16))
SMALL_SCAN = Scan(size=(44, 38, 12), spacing=(8.0, 8.0, 8.0))

MakeSite = Callable[..., Path]


def _row(case: str, folder: str, side: str, lesion: object) -> str:
    return f"{case},P{case[1:]},51,{side},{lesion},{folder}"


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    """The input folder with examinations `exam0`, `exam1`, … and labels.csv; cases are C0, C1, …"""

    def make(count: int = 1, scans: Sequence[Scan] = (SMALL_SCAN,), name: str = "input") -> Path:
        root = tmp_path / name
        rows = ["Case,PatientID,Age,Side,Lesion,Folder"]
        for index in range(count):
            write_examination(root / f"exam{index}", scans[index % len(scans)])
            rows += [
                _row(f"C{index}", f"exam{index}", side, (index + number) % 3)
                for number, side in enumerate(("left", "right"))
            ]
        (root / "labels.csv").write_text("\n".join(rows) + "\n")
        return root

    return make


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Preparation]:
    """`prepared(input)` prepares on a coarse grid into `tmp_path / "output"`."""

    def prepare(
        source: Path,
        output: str = "output",
        rules: Path | None = None,
        grid: Grid = SMALL_GRID,
        workers: int = 1,
        both: bool = False,
    ) -> Preparation:
        return prepare_dicom(
            source,
            tmp_path / output,
            source / "labels.csv",
            rules,
            workers,
            lambda total, outcome: None,
            grid,
            both=both,
        )

    return prepare


@pytest.fixture
def outcome(prepared: Callable[..., Preparation]) -> Callable[..., CaseOutcome]:
    """`outcome(input)` is what became of its only case."""

    def first(source: Path, **options: object) -> CaseOutcome:
        return prepared(source, **options).outcomes[0]

    return first
