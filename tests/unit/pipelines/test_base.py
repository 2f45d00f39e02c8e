"""The interface's own behaviour: sites, cases, counts, the default check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mediswarm.errors import DataError, PipelineError, UsageError
from mediswarm.pipelines import Cases, Site, SiteData, add_counts, load_pipeline
from mediswarm.pipelines.counts import ratio


def test_a_site_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="was given no data directory") as caught:
        Site("north").folder  # noqa: B018 - reading it is the test
    assert (caught.value.code, caught.value.repair) == ("MS-D002", "Pass --data DIR.")
    with pytest.raises(DataError, match="no folder for site north") as caught:
        Site("north", tmp_path).folder  # noqa: B018 - reading it is the test
    assert (caught.value.code, caught.value.file) == ("MS-D002", str(tmp_path / "north"))
    (tmp_path / "north").mkdir()
    assert Site("north", tmp_path).folder == tmp_path / "north"


def test_the_sites_of_a_data_directory(make_job: Any, tmp_path: Path) -> None:
    pipeline = load_pipeline(make_job())
    data = tmp_path / "data"
    for name in ("south", "north", ".hidden", "_notes"):
        (data / name).mkdir(parents=True)
    (data / "README.txt").write_text("not a site")
    assert pipeline.sites(data) == ["north", "south"]
    assert pipeline.sites(None) == ["site-1", "site-2", "site-3"]


def test_cases_in_memory_keep_ids_and_order() -> None:
    cases = Cases.of(torch.arange(6.0).reshape(3, 2), torch.tensor([1, 0, 2]), ["x", "y", "z"])
    assert (len(cases), list(cases.ids)) == (3, ["x", "y", "z"])
    inputs, target = cases.dataset[1]
    assert (inputs.tolist(), int(target)) == ([2.0, 3.0], 0)
    assert list(Cases.of(torch.zeros(2, 1), torch.zeros(2)).ids) == ["0", "1"]


def test_counts_are_summed_key_by_key() -> None:
    assert add_counts([]) == {}
    assert add_counts([{"a": [1, 2]}, {"a": [10.0, 20.0], "b": [3.0]}, {}]) == {"a": [11.0, 22.0], "b": [3.0]}
    with pytest.raises(ValueError, match="shorter"):
        add_counts([{"a": [1.0, 2.0]}, {"a": [1.0]}])
    one: dict[str, list[float]] = {"a": [1.0]}
    add_counts([one, one])
    assert one == {"a": [1.0]}


def test_a_ratio_of_nothing_is_not_available() -> None:
    assert ratio(0.0, 0.0) is None
    assert ratio(0.0, 2.0) == 0.0


@pytest.mark.parametrize(("parts", "status"), [("(2, 4, 4)", "PASS"), ("(2, 999, 4)", "FAIL")])
def test_the_default_check(parts: str, status: str, make_job: Any) -> None:
    job = make_job()
    code = job.folder / "pipeline.py"
    code.write_text(code.read_text().replace("(2, 4, 4)", parts))
    (finding,) = load_pipeline(job).check(Site("north"))
    assert finding.status == status
    assert "60 training" in finding.message
    assert finding.code == (None if status == "PASS" else "MS-D003")


@pytest.mark.parametrize(
    "name", ["", "../../etc", "a/b", "server", "simulate_job", "1st", "north\n", "a" * 64]
)
def test_a_name_that_no_site_can_have(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Site(name)
    assert caught.value.code == "MS-U005"


def cases_of(*ids: str) -> Cases:
    return Cases.of(torch.zeros(len(ids), 1), torch.zeros(len(ids)), list(ids))


def test_ids_name_cases_one_by_one() -> None:
    with pytest.raises(PipelineError, match="2 ids were given for 3 cases"):
        Cases.of(torch.zeros(3, 1), torch.zeros(3), ["x", "y"])
    with pytest.raises(PipelineError, match="ids of their own; 1 repeat") as caught:
        cases_of("x", "y", "x")
    assert caught.value.code == "MS-P003"


def test_no_case_is_in_two_splits() -> None:
    with pytest.raises(DataError, match="1 case\\(s\\) are in both train and test") as caught:
        SiteData(cases_of("p", "q"), cases_of("r"), cases_of("s", "q"))
    assert caught.value.code == "MS-D110"
    # numbers from 0 on, as Cases.of gives them, name nobody
    SiteData(cases_of("0", "1"), cases_of("0"), cases_of())
    broken: Any = None
    with pytest.raises(PipelineError, match="validation is a NoneType, and must be Cases"):
        SiteData(cases_of("p"), broken, cases_of())
