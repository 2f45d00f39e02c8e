"""What the developer guide shows is what works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mediswarm.pipelines import Site, load_pipeline
from mediswarm.preflight.data import check_data
from mediswarm.preflight.pipeline_contract import check_pipeline
from mediswarm.spec import load_job


def _blocks(root: Path, language: str) -> list[str]:
    guide = (root / "docs" / "developer.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)


@pytest.fixture
def written(root: Path, tmp_path: Path) -> Path:
    """A directory with the guide's own job and data."""
    write_data, pipeline = [block for block in _blocks(root, "python") if block.startswith('"""')]
    (job,) = _blocks(root, "yaml")
    folder = tmp_path / "bright_side"
    folder.mkdir()
    (folder / "job.yml").write_text(job, encoding="utf-8")
    (folder / "pipeline.py").write_text(pipeline, encoding="utf-8")
    subprocess.run([sys.executable, "-c", write_data], cwd=tmp_path, check=True)
    return tmp_path


def test_pieces_shown_stand_in_the_example(root: Path) -> None:
    example = (root / "application/jobs/minimal_training_pytorch_cnn/pipeline.py").read_text(encoding="utf-8")
    pieces = [block for block in _blocks(root, "python") if not block.startswith('"""')]
    assert pieces
    for piece in pieces:
        assert piece in example


def test_own_pipeline_keeps_the_interface(written: Path) -> None:
    findings = check_pipeline(load_job(written / "bright_side"), written / "data")
    assert {finding.status for finding in findings} == {"PASS"}


def test_own_pipeline_refuses_a_wrong_label(written: Path) -> None:
    table = written / "data" / "north" / "cases.csv"
    first, second, third, *rest = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([first, second, third.rpartition(",")[0] + ",Left", *rest]), encoding="utf-8")
    (finding,) = check_data(load_pipeline(load_job(written / "bright_side")), Site("north", written / "data"))
    assert (finding.status, finding.code) == ("FAIL", "MS-D116")
    assert finding.file == f"{table}:3"
    assert finding.repair == "Write left or right."
