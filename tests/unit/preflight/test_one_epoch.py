"""The training of one epoch that preflight makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mediswarm.pipelines.base import Site
from mediswarm.preflight.one_epoch import check_one_epoch


def test_it_trains_and_leaves_nothing(make_job: Callable[..., Any], tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    finding = check_one_epoch(make_job(), Site("site-1", None, scratch, "cpu"))
    assert finding.status == "PASS"
    assert "60 cases trained" in finding.message
    assert list(scratch.iterdir()) == []


def test_whatever_a_pipeline_raises_is_a_fail(make_job: Callable[..., Any], tmp_path: Path) -> None:
    code = (
        Path(__file__).parents[3] / "application/jobs/minimal_training_pytorch_cnn/pipeline.py"
    ).read_text()
    broken = code.replace(
        "    def model(self) -> nn.Module:\n", "    def model(self):\n        return 1 / 0\n"
    )
    assert broken != code
    finding = check_one_epoch(make_job(code=broken), Site("site-1", None, tmp_path, "cpu"))
    assert finding.status == "FAIL"
    assert finding.code
