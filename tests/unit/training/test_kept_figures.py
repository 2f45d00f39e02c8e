"""Figures of jobs: kept for the job, the code and the device that they are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mediswarm.training.kept_figures import KeptFigures, ModelSize, StepEstimate

STEP = StepEstimate("cpu", "a processor", 2, 8, 0.25, 0.5, 3 * 2**30, "2026-01-31")


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[], KeptFigures]:
    """`kept()` opens the folder anew, as another command would."""
    return lambda: KeptFigures(tmp_path / "figures")


def no_size() -> None:
    return None


def test_a_size_is_found_once(kept: Callable[[], KeptFigures], make_job: Any) -> None:
    job = make_job()
    assert kept().size(job, no_size) is None
    assert kept().size(job, lambda: ModelSize(3, 12)) == ModelSize(3, 12)
    assert kept().size(job, no_size) == ModelSize(3, 12)
    assert kept().size(make_job(training={"batch_size": 3}), no_size) is None


def test_a_size_of_other_code_is_not_used(
    kept: Callable[[], KeptFigures], make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    kept().size(job, lambda: ModelSize(3, 12))
    with monkeypatch.context() as patch:
        patch.setattr("mediswarm.training.kept_figures.version", lambda package: "0")
        assert kept().size(job, no_size) is None
    assert kept().size(job, no_size) == ModelSize(3, 12)


def test_measurements_are_kept_by_device_and_threads(kept: Callable[[], KeptFigures], make_job: Any) -> None:
    job = make_job()
    other = StepEstimate("cuda", "a card", 2, 8, 0.01, 0.01, 2**30, "2026-01-31")
    again = StepEstimate("cpu", "a processor", 2, 8, 0.5, 0.5, 2**30, "2026-02-01")
    more = StepEstimate("cpu", "a processor", 4, 8, 0.125, 0.5, 2**30, "2026-02-01")
    for step in (STEP, more, other, again):
        kept().keep_step(job, step)
    assert kept().steps(job) == [other, again, more]
    assert kept().steps(make_job(training={"batch_size": 3})) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"device": "cpu"}', '{"code": 1}'])
def test_damaged_files_are_as_none(content: str, kept: Callable[[], KeptFigures], make_job: Any) -> None:
    job = make_job()
    kept().keep_step(job, STEP)
    kept().size(job, lambda: ModelSize(3, 12))
    for file in (kept().folder / job.hash).iterdir():
        file.write_text(content)
    assert kept().steps(job) == []
    assert kept().size(job, lambda: ModelSize(4, 16)) == ModelSize(4, 16)


def test_where_nothing_can_be_written_sizes_are_given_all_the_same(make_job: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = KeptFigures(tmp_path / "file")
    assert kept.size(make_job(), lambda: ModelSize(3, 12)) == ModelSize(3, 12)
    assert kept.steps(make_job()) == []
    with pytest.raises(OSError, match="file"):
        kept.keep_step(make_job(), STEP)
