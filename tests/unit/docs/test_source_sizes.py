"""A reader finds a thing by its name, in a file that is read in one go."""

from __future__ import annotations

import statistics
from pathlib import Path

LONGEST, MEDIAN, EXAMPLE = 500, 130, 60


def _lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_modules_are_short(root: Path) -> None:
    sizes = {file: _lines(file) for file in (root / "application" / "mediswarm").rglob("*.py")}
    assert {str(file): size for file, size in sizes.items() if size > LONGEST} == {}
    assert statistics.median(size for file, size in sizes.items() if file.name != "__init__.py") <= MEDIAN


def test_the_smallest_example_stays_small(root: Path) -> None:
    folder = root / "application" / "jobs" / "minimal_training_pytorch_cnn"
    assert _lines(folder / "pipeline.py") < EXAMPLE


def test_the_readme_is_read_in_one_sitting(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    assert text.splitlines().count("./deploy_and_test.sh test") == 1
