"""Before round 0: sites agree, or it is said who does not, in what, and what was expected."""

from __future__ import annotations

from typing import Any

import pytest

from mediswarm.aggregation.admission import admit
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import ContractError, MediSwarmError, RunFailed
from mediswarm.pipelines import load_pipeline
from mediswarm.spec import Job

SITES = ("aachen", "berlin", "cork")


def admitted(job: Job, introductions: dict[str, Any], refusals: dict[str, str] | None = None) -> Any:
    return admit(job, load_pipeline(job), introductions, refusals or {})


@pytest.fixture
def job(make_job: Any) -> Job:
    found: Job = make_job()
    return found


def test_sites_that_agree_take_part_and_their_counts_are_summed(job: Job, introduce: Any) -> None:
    said = {
        "berlin": introduce(job, statistics={"class_counts": [1.0, 0.0, 5.0]}),
        "aachen": introduce(job, statistics={"class_counts": [10.0, 2.0, 0.0]}),
    }
    sites, left_out, totals = admitted(job, said)
    assert list(sites) == ["aachen", "berlin"]
    assert left_out == {}
    assert totals == {"class_counts": [11.0, 2.0, 5.0]}


CONTRACT = {"classes": ["empty", "left", "right"], "input_shape": [1, 16, 16]}
DIFFERENT: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "order of the classes (D4)": (
        {"contract": CONTRACT | {"classes": ["left", "empty", "right"]}},
        "MS-C001",
        ["classes", '["left", "empty", "right"]', '["empty", "left", "right"]'],
    ),
    "input shape": (
        {"contract": CONTRACT | {"input_shape": [1, 32, 32]}},
        "MS-C001",
        ["input_shape", "[1, 32, 32]", "[1, 16, 16]"],
    ),
    "missing key": ({"contract": {"classes": CONTRACT["classes"]}}, "MS-C001", ["input_shape", "null"]),
    "measured value (D5, D7)": (
        {"contract": CONTRACT | {"extractor": "uni-2"}},
        "MS-C001",
        ["extractor", '"uni-2"', "aachen has null"],
    ),
    "pipeline version": (
        {"versions": {"mediswarm": "0.1.0", "pipeline": "./pipeline.py 7"}},
        "MS-C002",
        ["pipeline", "./pipeline.py 7", "./pipeline.py 1"],
    ),
    "mediswarm version": (
        {"versions": {"mediswarm": "9.9", "pipeline": "./pipeline.py 1"}},
        "MS-C002",
        ["mediswarm 9.9"],
    ),
    "version that is not told": ({"versions": {}}, "MS-C002", ["mediswarm None"]),
    "job (R22)": ({"job_hash": "0" * 64}, "MS-C002", ["job 000000"]),
    "metric": ({"metrics": ("accuracy",)}, "MS-C004", ["auroc_macro"]),
}


@pytest.mark.parametrize(("change", "code", "named"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_a_site_that_differs_is_refused_by_name_and_value(
    change: dict[str, Any], code: str, named: list[str], job: Job, introduce: Any
) -> None:
    said = {site: introduce(job) for site in SITES} | {"berlin": introduce(job, **change)}
    with pytest.raises(ContractError) as caught:
        admitted(job, said)
    assert caught.value.code == code
    assert all(part in caught.value.message for part in ["site berlin", *named])
    assert caught.value.repair

    lenient = job.varied(workflow={"name": "fedavg", "rounds": 2, "start_quorum": 2})
    said = {site: introduce(lenient) for site in SITES}
    said["berlin"] = introduce(lenient, **change)
    sites, left_out, _ = admitted(lenient, said)
    assert list(sites) == ["aachen", "cork"]
    assert left_out == {"berlin": code}


def test_the_sum_is_over_admitted_sites_only(make_job: Any, introduce: Any) -> None:
    job = make_job(workflow={"name": "fedavg", "rounds": 2, "start_quorum": 1})
    said = {
        "aachen": introduce(job, statistics={"class_counts": [1.0, 1.0, 1.0]}),
        "berlin": introduce(job, contract={}, statistics={"class_counts": [100.0, 0.0, 0.0]}),
    }
    assert admitted(job, said)[2] == {"class_counts": [1.0, 1.0, 1.0]}


def test_weights_by_events_need_sites_that_count_events(make_job: Any, introduce: Any) -> None:
    job = make_job(workflow={"name": "fedavg", "rounds": 2, "weights": "events"})
    with pytest.raises(ContractError, match="site aachen") as caught:
        admitted(job, {"aachen": introduce(job)})
    assert caught.value.code == "MS-C005"
    counted = introduce(job, statistics={"class_counts": [1.0, 1.0, 1.0], "events": [4.0]})
    assert admitted(job, {"aachen": counted})[2]["events"] == [4.0]


@pytest.mark.parametrize(("quorum", "enough"), [("all", False), (3, False), (2, True), (1, True)])
def test_the_start_quorum_counts_sites_that_cannot_come(
    quorum: Any, enough: bool, make_job: Any, introduce: Any
) -> None:
    job = make_job(workflow={"name": "fedavg", "rounds": 2, "start_quorum": quorum})
    said = {site: introduce(job) for site in ("aachen", "cork")}
    refusals = {"berlin": "MS-D110"}
    if enough:
        sites, left_out, _ = admitted(job, said, refusals)
        assert (list(sites), left_out) == (["aachen", "cork"], refusals)
        return
    with pytest.raises(RunFailed) as caught:
        admitted(job, said, refusals)
    assert caught.value.code == "MS-R002"
    assert "2 of 3 sites answered, 3 needed" in caught.value.message
    assert f"berlin (MS-D110: {ERROR_CODES['MS-D110'].title})" in caught.value.message


def test_nobody_is_no_quorum(job: Job) -> None:
    with pytest.raises(MediSwarmError) as caught:
        admitted(job, {})
    assert caught.value.code == "MS-R002"


def test_sites_that_agree_with_each_other_but_not_with_the_job_are_refused(job: Job, introduce: Any) -> None:
    other = CONTRACT | {"classes": ["none", "left", "right"]}
    with pytest.raises(ContractError, match=r'the job declares \["empty"') as caught:
        admitted(job, {site: introduce(job, contract=other) for site in SITES})
    assert caught.value.code == "MS-C001"


def test_a_start_quorum_above_the_number_of_sites_is_not_lowered(make_job: Any, introduce: Any) -> None:
    job = make_job(workflow={"name": "fedavg", "rounds": 1, "start_quorum": 3})
    with pytest.raises(RunFailed) as caught:
        admitted(job, {"aachen": introduce(job), "berlin": introduce(job)})
    assert caught.value.code == "MS-R002"
    assert "start quorum 3: 2 of 2 sites answered, 3 needed" in caught.value.message


def test_a_round_quorum_that_those_admitted_cannot_meet_ends_the_run_before_training(
    make_job: Any, introduce: Any
) -> None:
    job = make_job(workflow={"name": "fedavg", "rounds": 1, "round_quorum": 3})
    with pytest.raises(RunFailed, match="2 of 2 sites take part, the round quorum is 3") as caught:
        admitted(job, {"aachen": introduce(job), "berlin": introduce(job)})
    assert caught.value.code == "MS-R002"
    assert list(admitted(job, {site: introduce(job) for site in SITES})[0]) == list(SITES)


def test_a_code_of_another_version_is_shown_as_it_is(job: Job, introduce: Any) -> None:
    with pytest.raises(RunFailed, match=r"berlin \(MS-X999: unknown here\)") as caught:
        admitted(job, {"aachen": introduce(job)}, {"berlin": "MS-X999"})
    assert "logs/<SITE>.log" in caught.value.repair
