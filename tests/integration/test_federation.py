"""An operator's commands against a real server and two real sites, each in a process of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.federation import Federation, until

pytestmark = pytest.mark.processes

SITES = ["site-1", "site-2"]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("federation"), SITES) as made:
        made.start(within=150)
        yield made


@pytest.mark.timeout(400)
def test_submit_follow_and_fetch(federation: Federation, make_job: Any) -> None:
    said = json.loads(federation.cli("status", "--json").stdout)
    assert [(site["name"], site["alive"]) for site in said["sites"]] == [("site-1", True), ("site-2", True)]

    job = make_job(
        workflow={"name": "fedavg", "rounds": 3, "round_budget": 60.0}, training={"local": {"epochs": 1}}
    )
    ended = federation.cli("submit", job.folder, "--follow", "--json", within=200)
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout)
    assert (record["state"], len(record["rounds"])) == ("succeeded", 3)
    assert sorted(record["participants"]) == SITES
    assert "round 3 of 3" in ended.stderr

    fetched = federation.cli("fetch", record["run_id"], "--out", "fetched", "--json")
    assert json.loads(fetched.stdout)["models"] == ["best", "last"]
    folder = federation.folder / "fetched"
    assert json.loads((folder / "run.json").read_text())["run_id"] == record["run_id"]
    assert (folder / "last" / "model.safetensors").stat().st_size > 1000
    assert (folder / "contributions.csv").read_text().count("contributed") == 6

    printed = federation.cli("logs", record["run_id"], "--lines", "5")
    assert (printed.returncode, printed.stdout.count("contribution ")) == (0, 6)
    assert "server, segment 0:" in printed.stdout
    until(lambda: federation.supervisor() is None, 15, "the supervisor ends with its last run")


@pytest.mark.timeout(600)
def test_server_and_supervisor_are_killed_and_the_run_goes_on(federation: Federation, make_job: Any) -> None:
    """R8 with a dead operator: same run, from the model that was committed."""
    job = make_job(
        workflow={"name": "fedavg", "rounds": 24, "segment_rounds": 20, "round_budget": 60.0},
        config={"cases": 600},
    )
    run = federation.submit(job.folder)
    federation.wait_for(run, lambda *_: len(federation.events(run, "round")) >= 2, 200, "two rounds")
    federation.kill(federation.server)
    supervisor = federation.supervisor()
    assert supervisor is not None
    supervisor.send_signal(signal.SIGKILL)
    federation.start(federation.server, within=150)

    ended = federation.cli("resume", run, "--follow", "--json", within=300)
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout)
    assert (record["run_id"], record["state"]) == (run, "succeeded")
    assert [entry["round"] for entry in record["rounds"]] == list(range(24))
    # our component's word; NVFlare 2.9 would leave the job of the killed server RUNNING for ever
    assert federation.segments(run)[0].outcome == "execution exception"
    first, second = record["segments"][:2]
    assert (first["first_round"], second["segment"]) == (0, 1)
    assert second["first_round"] >= 2
