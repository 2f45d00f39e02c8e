"""What hospitals' federations meet, on real processes with real certificates.

======  ====================================================================================
R1, R2  test_slow_and_late_sites_are_waited_for, test_a_quorum_goes_on_without_a_lost_site,
        test_below_the_quorum_the_run_fails_and_can_be_resumed
R3      test_slow_and_late_sites_are_waited_for
R4      test_a_quorum_goes_on_without_a_lost_site
R5      test_faults_network.py
R6      test_a_killed_trainer_and_a_killed_site_cost_one_round, and with a quorum
        test_a_quorum_goes_on_without_a_lost_site; of the node alone: test_node.py
R7      test_a_killed_aggregator_of_a_swarm_is_replaced
R8      test_a_killed_server_costs_one_round, test_a_killed_supervisor_submits_nothing_twice;
        of the node alone: test_node.py
R9      test_a_site_joins_a_running_run
R10     test_node.py: test_a_kit_of_another_generation_is_refused_for_good
R11     test_node.py: test_a_killed_client_comes_back, test_a_site_that_lost_power_comes_back
R19     test_after_an_abort_nothing_is_alive; of the node alone: test_node.py
R21     test_faults_disk.py
R22     test_faults_trust.py: test_a_changed_file_of_a_kit_is_named,
        test_a_job_changed_on_the_server_is_refused
R23     test_node.py: test_a_second_node_with_the_same_kit_is_refused_by_name
R24     test_faults_trust.py: test_a_wrong_clock_is_said_to_be_the_clock
======  ====================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.federation import Federation, frozen, until

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.pipelines.base import Site
from mediswarm.spec import load_job

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

ROUNDS = 4
LONG_BUDGET_S = 300


@pytest.fixture(scope="module")
def undisturbed(
    gated_job: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Record and model of the job as one process makes it, to which nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sites = [Site(f"site-{number}") for number in (1, 2, 3)]
    record = ReferenceRun(load_job(gated_job(rounds=ROUNDS)), sites, folder).run()
    return record, load_file(folder / "last" / "model.safetensors")


def same_end(
    record: dict[str, Any], model: Path, undisturbed: tuple[dict[str, Any], dict[str, torch.Tensor]]
) -> str:
    """Assert that a run has the record and the model that it would have had without its faults."""
    expected, weights = undisturbed
    assert record["state"] == "succeeded", record["error"]
    assert [entry["contributed"] for entry in record["rounds"]] == [
        entry["contributed"] for entry in expected["rounds"]
    ]
    for part in ("scores", "test"):
        assert record[part].keys() == expected[part].keys()
        for name, values in expected[part].items():
            assert record[part][name] == pytest.approx(values, abs=1e-6)
    assert record["best"]["model"] == expected["best"]["model"]
    found = load_file(model / "model.safetensors")
    assert found.keys() == weights.keys()
    apart = max(float((found[name] - weights[name]).abs().max()) for name in weights)
    assert apart < 1e-6
    return f"same record, model equal to {apart:.0e}" if apart else "same record, same model to the bit"


def committed(federation: Federation, run: str, round_: int, within: float = 120.0) -> float:
    """Wait until a round is committed; gives the seconds."""
    rounds = lambda: [event["round"] for event in federation.events(run, "round")]  # noqa: E731
    return federation.wait_for(
        run, lambda *_: round_ in rounds(), within, f"round {round_} is committed, after {rounds()}"
    )


def test_slow_and_late_sites_are_waited_for(
    federation: Federation, gates: Any, gated_job: Callable[..., Path], undisturbed: Any
) -> None:
    """R1, R2, R3: with the default quorums nobody is left behind, however the others hurry."""
    gates.hold(1, "site-3")
    run = federation.submit(gated_job(rounds=ROUNDS))
    late = until(lambda: federation.job_processes_of("site-2"), 60, "the job comes to site-2")
    with frozen(late):
        introduced = "got result from client {} for task: name=introduce"
        for site in ("site-1", "site-3"):
            until(
                lambda site=site: introduced.format(site) in federation.log(federation.server),
                60,
                f"{site} is there",
            )
        assert not federation.events(run, "start")
    gates.wait_in(1, "site-3")
    quick = lambda: {  # noqa: E731
        event["site"] for event in federation.events(run, "contribution") if event["round"] == 1
    }
    until(lambda: quick() == {"site-1", "site-2"}, 30, "the others contribute to round 1")
    gates.release(1, "site-3")
    record = federation.ended(run)
    assert record["left_out"] == {}
    assert federation.events(run, "exclusion") == []
    assert len(record["segments"]) == 2
    same_end(record, federation.files.run(run) / "last", undisturbed)


def test_a_quorum_goes_on_without_a_lost_site(
    federation: Federation, gates: Any, gated_job: Callable[..., Path], note: Callable[..., None]
) -> None:
    """R2, R4, R6: a silent site and a killed one are left out by name; they are back in time."""
    gates.hold(0, "site-3")
    gates.hold(1, "site-1")
    run = federation.submit(gated_job(rounds=6, round_quorum=2, round_budget=12))
    gates.wait_in(1, "site-1")
    gates.release(0, "site-3")  # its update is of a round that is over; it goes on with the present one
    gates.wait_in(1, "site-3")
    gates.release(1, "site-1")

    gates.hold(3, "site-3")
    gates.wait_in(3, "site-3")
    federation.kill("site-3")
    killed = time.monotonic()
    gates.release(3, "site-3")
    federation.restart("site-3")
    committed(federation, run, 3)
    seconds = time.monotonic() - killed
    record = federation.ended(run)
    assert record["state"] == "succeeded", record["error"]
    excluded = {entry["round"]: entry["excluded"] for entry in record["rounds"] if entry["excluded"]}
    assert excluded.keys() == {0, 3}
    assert excluded[0] == {"site-3": "MS-R005"}
    assert excluded[3].keys() == {"site-3"}
    assert excluded[3]["site-3"] in ("MS-R005", "MS-R006")
    assert {row for row in rows(federation, run) if row[1] == "site-3" and row[2] == "excluded"} == {
        ("0", "site-3", "excluded", "MS-R005"),
        ("3", "site-3", "excluded", excluded[3]["site-3"]),
    }
    assert [entry["first_round"] for entry in record["segments"]] == [0, 2, 4]
    everyone = ["site-1", "site-2", "site-3"]
    assert [entry["contributed"] for entry in record["rounds"] if entry["round"] in (1, 2, 4, 5)] == [
        everyone
    ] * 4
    note("R6 site killed, quorum 2", len(gates.begun("site-1")) - 6, seconds, "finished with the others")


def rows(federation: Federation, run: str) -> set[tuple[str, ...]]:
    """Round, site, state and reason of all contributions."""
    lines = (federation.files.run(run) / "contributions.csv").read_text().splitlines()[1:]
    return {tuple(line.split(",")[:4]) for line in lines}


def test_below_the_quorum_the_run_fails_and_can_be_resumed(
    federation: Federation, gates: Any, gated_job: Callable[..., Path]
) -> None:
    """R2: two of three sites are gone; the run says who is missing, and goes on when they are back."""
    gates.hold(0, "site-2", "site-3")
    run = federation.submit(gated_job(rounds=2, round_quorum=2, round_budget=12))
    gates.wait_in(0, "site-2", "site-3")
    federation.kill("site-2")
    federation.kill("site-3")
    record = federation.ended(run)
    assert (record["state"], record["error"]["code"]) == ("failed", "MS-R002")
    assert "site-2, site-3" in record["error"]["message"]
    assert federation.cli("submit", "smoke", "--sites", "site-1,site-9").returncode == 2
    gates.clear()
    federation.start()
    resumed = federation.cli("resume", run, "--follow", within=120)
    assert resumed.returncode == 0, resumed.stderr
    assert federation.record(run)["state"] == "succeeded"


def test_a_killed_trainer_and_a_killed_site_cost_one_round(
    federation: Federation,
    gates: Any,
    gated_job: Callable[..., Path],
    undisturbed: Any,
    note: Callable[..., None],
) -> None:
    """R6 with the default quorum: the round is done again from the committed model, with all."""
    gates.hold(1, "site-3")
    gates.hold(3, "site-2")
    run = federation.submit(gated_job(rounds=ROUNDS, round_budget=LONG_BUDGET_S))
    gates.wait_in(1, "site-3")
    (trainer,) = federation.job_processes_of("site-3")
    trainer.kill()
    gates.release(1, "site-3")
    trainer_s = committed(federation, run, 1)

    gates.wait_in(3, "site-2")
    federation.kill("site-2")
    killed = time.monotonic()
    gates.release(3, "site-2")
    federation.restart("site-2")
    committed(federation, run, 3)
    site_s = time.monotonic() - killed
    assert max(trainer_s, site_s) < LONG_BUDGET_S / 2, "a death is noticed long before the budget ends"
    record = federation.ended(run)
    end = same_end(record, federation.files.run(run) / "last", undisturbed)
    assert [gates.begun(site) for site in federation.sites] == [[0, 1, 1, 2, 3, 3]] * 3
    note("R6 trainer killed, quorum all", 1, trainer_s, end)
    note("R6 site killed, quorum all", 1, site_s, end)


def test_a_killed_aggregator_of_a_swarm_is_replaced(
    federation: Federation,
    gates: Any,
    gated_job: Callable[..., Path],
    undisturbed: Any,
    note: Callable[..., None],
) -> None:
    """R7: the segment is lost and the run is not; another site aggregates, from the same model."""
    gates.hold(1, "site-2")
    run = federation.submit(gated_job(name="swarm", rounds=ROUNDS, round_budget=LONG_BUDGET_S))
    gates.wait_in(1, "site-2")
    federation.kill("site-2")
    killed = time.monotonic()
    gates.release(1, "site-2")
    federation.restart("site-2")
    committed(federation, run, 1)
    seconds = time.monotonic() - killed
    assert seconds < LONG_BUDGET_S / 2
    record = federation.ended(run)
    aggregators = [entry["aggregator"] for entry in record["rounds"]]
    assert aggregators[1] != "site-2", aggregators
    for site in federation.sites:
        end = same_end(record, federation.scratch(site) / "workspace" / "runs" / run / "last", undisturbed)
    lost = len(gates.begun("site-1")) - ROUNDS
    assert lost == 1
    note("R7 swarm: aggregator killed", lost, seconds, end)


def test_a_killed_server_costs_one_round(
    federation: Federation,
    gates: Any,
    gated_job: Callable[..., Path],
    undisturbed: Any,
    note: Callable[..., None],
) -> None:
    """R8: the run goes on from the last committed model under its id."""
    gates.hold(1, "site-1")
    run = federation.submit(gated_job(rounds=ROUNDS))
    gates.wait_in(1, "site-1")
    federation.kill(federation.server)
    killed = time.monotonic()
    gates.release(1, "site-1")
    federation.restart(federation.server)
    committed(federation, run, 1, within=200)
    seconds = time.monotonic() - killed
    record = federation.ended(run)
    end = same_end(record, federation.files.run(run) / "last", undisturbed)
    assert record["run_id"] == run
    lost = len(gates.begun("site-1")) - ROUNDS
    assert lost <= 2, "the last model is at most one round behind its record"
    note("R8 server killed", lost, seconds, end)


def test_a_killed_supervisor_submits_nothing_twice(
    federation: Federation, gates: Any, gated_job: Callable[..., Path], note: Callable[..., None]
) -> None:
    """R8, the operator's machine: killed when the server has the job and nobody wrote that down."""
    store = federation.scratch(federation.server) / "workspace" / "jobs-storage"
    before = set(store.glob("*"))
    run = federation.submit(gated_job(rounds=2, segment_rounds=1))
    until(lambda: set(store.glob("*")) - before, 60, "the server has the job")
    supervisor = federation.supervisor()
    assert supervisor is not None
    supervisor.kill()
    killed = time.monotonic()
    supervisor.wait(5)
    resumed = federation.cli("resume", run)
    assert resumed.returncode == 0, resumed.stderr
    committed(federation, run, 0)
    seconds = time.monotonic() - killed
    record = federation.ended(run)
    assert record["state"] == "succeeded", record["error"]
    jobs = {path.name for path in set(store.glob("*")) - before}
    assert jobs == {segment.job_id for segment in federation.segments(run)}
    assert len(jobs) == 2
    assert gates.begun("site-1") == [0, 1]
    note("R8 supervisor killed", 0, seconds, "same run, nothing submitted twice")


def test_after_an_abort_nothing_is_alive(
    federation: Federation, gates: Any, gated_job: Callable[..., Path]
) -> None:
    """R19: not even a training that does not listen."""
    gates.hold(0, *federation.sites)
    run = federation.submit(gated_job())
    gates.wait_in(0, *federation.sites)
    begun = time.monotonic()
    aborted = federation.cli("abort", run)
    assert aborted.returncode == 0, aborted.stderr
    assert time.monotonic() - begun < 30
    assert [process for node in federation.everyone for process in federation.job_processes_of(node)] == []
    assert federation.run(run).state == federation.record(run)["state"] == "stopped"
    assert all(gates.begun(site) == [0] for site in federation.sites)


def test_a_site_joins_a_running_run(
    federation: Federation, gates: Any, gated_job: Callable[..., Path], note: Callable[..., None]
) -> None:
    """R9: a new site's kit leaves the others' as they are; it takes part from the next segment on."""
    gates.hold(1, "site-1")
    run = federation.submit(gated_job(rounds=ROUNDS))
    gates.wait_in(1, "site-1")
    federation.sites.append("site-4")
    try:
        outcomes = federation.provision().outcomes
        assert {name for name, outcome in outcomes.items() if outcome == "unchanged"} == {
            federation.server, "site-1", "site-2", "site-3"
        }  # fmt: skip
        federation.start("site-4")
        joined = time.monotonic()
        gates.release(1, "site-1")
        committed(federation, run, 2)
        seconds = time.monotonic() - joined
        record = federation.ended(run)
    finally:
        if "site-4" in federation.nodes:
            federation.kill("site-4", hard=False)
        federation.sites.remove("site-4")
        federation.provision()
    assert record["state"] == "succeeded", record["error"]
    assert {site: entry["joined"] for site, entry in record["participants"].items()} == {
        "site-1": 0, "site-2": 0, "site-3": 0, "site-4": 2
    }  # fmt: skip
    assert [len(entry["contributed"]) for entry in record["rounds"]] == [3, 3, 4, 4]
    assert gates.begun("site-4") == [2, 3]
    note(
        "R9 late join", len(gates.begun("site-1")) - ROUNDS, seconds, "4 of 4 sites from the next segment on"
    )
