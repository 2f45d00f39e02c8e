from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mediswarm.data.findings import Finding
from mediswarm.errors import DataError
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.preflight.data import check_data
from mediswarm.spec import load_job

JOBS = Path(__file__).parents[3] / "application" / "jobs"


@dataclass
class Checked:
    """As much of a pipeline as a check needs."""

    found: list[Finding] | DataError

    def check(self, site: Site) -> list[Finding]:
        if isinstance(self.found, DataError):
            raise self.found
        return self.found


def _check(found: Any, site: Site) -> list[Finding]:
    return check_data(Checked(found), site)  # type: ignore[arg-type]


def test_a_pipelines_own_findings_are_given_on() -> None:
    found = [Finding.passed("tables", "2"), Finding("WARN", "images", "1", "MS-D119")]
    assert _check(found, Site("north")) == found


def test_an_error_that_ends_the_check_is_a_failure(tmp_path: Path) -> None:
    error = DataError("MS-D101", "not a table", file=tmp_path / "split.csv", line=3)
    (finding,) = _check(error, Site("north"))
    assert (finding.status, finding.code) == ("FAIL", "MS-D101")
    assert finding.file == f"{tmp_path}/split.csv:3"
    assert finding.repair


def test_a_check_that_finds_nothing_is_no_pass() -> None:
    (finding,) = _check([], Site("north"))
    assert (finding.status, finding.code) == ("FAIL", "MS-P003")


def test_scratch_is_checked_where_there_is_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    good = _check([Finding.passed("tables", "2")], Site("north", data, tmp_path / "scratch"))
    assert [finding.subject for finding in good] == ["scratch", "disk", "tables"]
    bad = _check([Finding.passed("tables", "2")], Site("north", data, data / "cache"))
    assert [(finding.status, finding.code) for finding in bad] == [("FAIL", "MS-H011"), ("PASS", None)]


@pytest.mark.parametrize("name", ["site-1", "site-2"])
def test_a_real_pipeline(name: str) -> None:
    pipeline = load_pipeline(load_job(JOBS / "minimal_training_pytorch_cnn"))
    (finding,) = check_data(pipeline, Site(name))
    assert finding == Finding.passed("data", "60 training, 30 validation, 30 test cases")
