"""A site in a network of its own, over a cable that is slow or cut (R5; Linux, as root)."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.federation import Federation

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

HOST, REMOTE = "10.213.77.1", "10.213.77.2"
BUDGET_S = 15


class Link:
    """A network namespace that reaches this machine over one virtual cable."""

    def __init__(self) -> None:
        self.name, self.cable = f"mediswarm-{os.getpid()}", f"ms{os.getpid()}"

    def make(self) -> str | None:
        """Gives the reason where it cannot be made."""
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {self.cable} type veth peer name far netns {self.name}",
            f"ip address add {HOST}/30 dev {self.cable}",
            f"ip link set {self.cable} up",
            f"ip -n {self.name} address add {REMOTE}/30 dev far",
            f"ip -n {self.name} link set far up",
            f"ip -n {self.name} link set lo up",
        ):
            try:
                done = subprocess.run(
                    command.split(), capture_output=True, text=True, timeout=10, check=False
                )
            except OSError as error:
                return f"{command}: {error.strerror}"
            if done.returncode:
                return f"{command}: {done.stderr.strip()}"
        return None

    def set(self, state: str) -> None:
        """Plug the cable in (`up`), or pull it (`down`): packets are lost without a word."""
        subprocess.run(["ip", "link", "set", self.cable, state], timeout=10, check=True)

    @contextlib.contextmanager
    def slowed(self, rate: str) -> Iterator[None]:
        """Let no more than `rate` through to the site."""
        here = ["dev", self.cable, "root"]
        shaped = ["tc", "qdisc", "add", *here, "tbf", "rate", rate, "burst", "32kb", "latency", "500ms"]
        subprocess.run(shaped, timeout=10, check=True)
        try:
            yield
        finally:
            subprocess.run(["tc", "qdisc", "delete", *here], timeout=10, check=True)

    @property
    def carried(self) -> int:
        """Bytes that went to the site so far."""
        return int(Path(f"/sys/class/net/{self.cable}/statistics/tx_bytes").read_text())

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, timeout=10, check=False)
        subprocess.run(["ip", "link", "delete", self.cable], capture_output=True, timeout=10, check=False)


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    link = Link()
    try:
        if reason := link.make():
            pytest.skip(f"no network of its own can be made for a site: {reason}")
        yield link
    finally:
        link.remove()


@pytest.fixture(scope="module")
def federation(link: Link, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("federation"), server=HOST) as federation:
        federation.wrapper["site-3"] = ["ip", "netns", "exec", link.name]
        federation.start()
        yield federation


def test_a_slow_link_carries_each_model_once(federation: Federation, link: Link, tmp_path: Path) -> None:
    """A model that takes longer to arrive than what is lost on the way may take to be sent again."""
    job = tmp_path / "slow"
    job.mkdir()
    document = {
        "name": "slow",
        "pipeline": "smoke",
        "config": {"cases": 64, "width": 450, "depth": 4},
        "training": {"local": {"steps": 2}, "batch_size": 16, "optimizer": {"name": "sgd", "lr": 0.001}},
        "workflow": {"name": "fedavg", "rounds": 1, "round_budget": 120},
        "selection": {"metric": "accuracy", "mode": "max"},
    }
    (job / "job.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    before = link.carried
    with link.slowed("3mbit"):
        run = federation.submit(job)
        record = federation.ended(run)
    carried = link.carried - before
    assert record["state"] == "succeeded", record["error"]
    (round_,) = record["rounds"]
    assert round_["contributed"] == ["site-1", "site-2", "site-3"]
    with (federation.files.run(run) / "contributions.csv").open(encoding="utf-8") as stream:
        model = next(int(row["received_bytes"]) for row in csv.DictReader(stream) if row["site"] == "site-3")
    assert 8 * model / 3e6 > 8, "it takes more than eight seconds"
    # it goes there to be trained and, changed, to be judged
    assert 2 * model < carried < 2.3 * model


def test_a_site_whose_network_drops_is_back_at_the_next_border(
    federation: Federation,
    link: Link,
    make_gates: Callable[[Federation], Any],
    gated_job: Callable[..., Path],
    note: Callable[..., None],
) -> None:
    """R5: cut for longer than the round budget, in the middle of a round."""
    gates = make_gates(federation)
    gates.hold(1, "site-3")
    gates.hold(2, "site-1")  # the next segment lasts until the site is back; should that take too long,
    gates.hold(3, "site-1")  # site-1 is left out, and the quorum is met by site-2
    run = federation.submit(gated_job(rounds=6, start_quorum=3, round_quorum=1, round_budget=BUDGET_S))
    gates.wait_in(1, "site-3")
    link.set("down")
    cut = time.monotonic()
    gates.release(1, "site-3")
    gates.wait_in(2, "site-1", within=120)
    assert time.monotonic() - cut > BUDGET_S
    link.set("up")
    joined = time.monotonic()
    federation.healthy("site-3", within=90)
    registered = time.monotonic() - joined
    gates.release(2, "site-1")
    gates.release(3, "site-1")

    record = federation.ended(run)
    assert record["state"] == "succeeded", record["error"]
    excluded = {entry["round"]: entry["excluded"].get("site-3") for entry in record["rounds"]}
    assert excluded == {1: "MS-R005"} | dict.fromkeys((0, 2, 3, 4, 5))
    there = ["site-3" in entry["sites"] for entry in record["segments"]]
    assert there == [True, False, True]
    assert gates.begun("site-3") == [0, 1, 4, 5]
    lost = len(gates.begun("site-1")) - 6
    note("R5 network cut, quorum 1", lost, registered, "site back at the next border")
