"""A federation of four containers and an operator, on one private Docker network.

One federation serves all tests: server, two sites started by this account, one by an account of its own,
and a fourth site whose kit is of an older generation. The smoke job runs once, watched from outside.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from docker import DockerClient
from docker.models.containers import Container
from safetensors.torch import load_file
from tests.federation import frozen, until
from tests.system.containers import ADMIN, PORT, SERVER, Capture, Containers, Ended, Sockets, sockets_of

from mediswarm.pipelines.find import load_pipeline
from mediswarm.spec.catalogue import find_job

ROOT = Path(__file__).resolve().parents[2]
SITES, STALE = ["site-1", "site-2", "site-3"], "site-4"
_JOB_PROCESS = "nvflare.private.fed.app.client.worker_process"
OTHER_ACCOUNT = 12345
DOCKERS_DNS = "127.0.0.11:"
"""Docker's own name server listens on this address in every private network; no process of ours has it."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other accounts and captures need root")


@dataclass(frozen=True)
class Watched:
    """The smoke job as the operator and the network saw it."""

    ended: Ended
    record: dict[str, Any]
    folder: Path
    seconds: float
    sockets: dict[str, Sockets]
    capture: Capture


@dataclass(frozen=True)
class StaleStart:
    """`./docker.sh --start_client` with a kit of an older generation."""

    ended: Ended
    seconds: float


@pytest.fixture(scope="module")
def federation(engine: DockerClient, image: str) -> Iterator[Containers]:
    pinned = f"mediswarm/cifar10@{engine.images.get(image).id}"
    with Containers(engine, pinned, SITES, accounts={"site-3": OTHER_ACCOUNT}) as containers:
        containers.start()
        yield containers


@pytest.fixture(scope="module", autouse=True)
def stale(federation: Containers) -> StaleStart:
    """Started first: Docker calls a container unhealthy only a minute and three checks later."""
    federation.kits[STALE] = federation.provision("older", [*SITES, STALE]) / STALE
    begun = time.monotonic()
    ended = federation.start_site(STALE)
    return StaleStart(ended, time.monotonic() - begun)


@pytest.fixture(scope="module")
def watched(federation: Containers) -> Watched:
    seen: dict[str, Sockets] = {site: set() for site in SITES}
    pids = {site: federation.container(site).attrs["State"]["Pid"] for site in SITES}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for site, pid in pids.items():
                seen[site] |= sockets_of(pid)

    looking = threading.Thread(target=look)
    with Capture(federation.bridge) as capture:
        looking.start()
        begun = time.monotonic()
        try:
            ended = federation.operator("submit", "smoke", "--follow", "--json")
        finally:
            seconds = time.monotonic() - begun
            over.set()
            looking.join()
    assert ended.returncode == 0, ended.stderr
    folder = federation.fetch(json.loads(ended.stdout)["run_id"])
    record = json.loads((folder / "run.json").read_text())
    return Watched(ended, record, folder, seconds, seen, capture)


def test_smoke_job_runs_and_the_operator_holds_record_and_model(
    federation: Containers, watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    record, rounds = watched.record, range(6)
    assert record["state"] == "succeeded", record["error"]
    assert [entry["contributed"] for entry in record["rounds"]] == [SITES for _ in rounds]
    assert [entry["excluded"] for entry in record["rounds"]] == [{} for _ in rounds]
    assert [(entry["first_round"], entry["sites"]) for entry in record["segments"]] == [
        (0, SITES),
        (2, SITES),
        (4, SITES),
    ]
    images = {site: about["image"] for site, about in record["participants"].items()}
    assert images == dict.fromkeys(SITES, federation.image)
    with (watched.folder / "contributions.csv").open(newline="") as file:
        contributions = list(csv.DictReader(file))
    assert {(int(line["round"]), line["site"]) for line in contributions} == {
        (round_, site) for round_ in rounds for site in SITES
    }
    model = watched.folder / "last" / "model.safetensors"
    size = sum(tensor.nbytes for tensor in load_file(model).values())
    for line in contributions:
        assert line["state"] == "contributed"
        assert size <= int(line["received_bytes"]) < 2 * size
        assert size <= int(line["sent_bytes"]) < 2 * size
    with capsys.disabled():
        said = " ".join(f"{entry['seconds']:.1f}" for entry in record["rounds"])
        sys.stdout.write(f"\nsmoke job in four containers: {watched.seconds:.0f} s, rounds of {said} s\n")


def test_fetched_model_loads_and_has_learned(watched: Watched) -> None:
    spec = find_job("smoke")
    model = load_pipeline(spec).model()
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for kind in ("best", "last"):
        found = load_file(watched.folder / kind / "model.safetensors")
        model.load_state_dict(found, strict=True)
        assert any(not torch.equal(found[name], fresh[name]) for name in fresh)
        assert json.loads((watched.folder / kind / "model.json").read_text())["job_hash"] == spec.hash


def test_a_killed_site_is_gone_on_without_and_back_at_a_border(federation: Containers) -> None:
    """R6 in containers: `docker kill`, then docker.sh as the site's people would call it."""
    run = _submit_long_job(federation)
    until(lambda: federation.events(run, "round"), 240, lambda: f"a round; {_said(federation)}")
    # while site-1 stands still, no round ends: the other one dies within a round
    with frozen(_job_processes(federation, "site-1")):
        federation.container("site-2").kill()
    back = federation.start_site("site-2")
    assert back.returncode == 0, back.stderr
    ended = federation.operator("resume", run, "--follow", "--json")
    assert ended.returncode == 0, ended.stderr

    record = json.loads((federation.fetch(run) / "run.json").read_text())
    assert record["state"] == "succeeded"
    contributed = ["site-2" in entry["contributed"] for entry in record["rounds"]]
    assert contributed[0]
    assert contributed[-1]
    assert not all(contributed)
    returned = contributed.index(True, contributed.index(False))
    assert returned in [entry["first_round"] for entry in record["segments"]]
    for entry in record["rounds"]:
        assert {"site-1", "site-3"} <= set(entry["contributed"])


@pytest.mark.parametrize(("site", "user"), [("site-1", "10001:10001"), ("site-3", "12345:12345")])
def test_a_site_seen_from_outside(federation: Containers, watched: Watched, site: str, user: str) -> None:
    """What Docker was told. site-3 trained in the same run as an account that the image does not know."""
    about = federation.container(site).attrs
    host = about["HostConfig"]
    assert about["Config"]["User"] == user
    assert (host["CapDrop"], host["CapAdd"], host["Privileged"]) == (["ALL"], None, False)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == federation.network
    assert (host["IpcMode"], host["PidMode"], host["UTSMode"]) == ("private", "", "")
    assert not any(host[key] for key in ("PortBindings", "PublishAllPorts", "Devices", "DeviceRequests"))
    assert not any(about["NetworkSettings"]["Ports"].values())
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["PidsLimit"], host["ShmSize"]) == (4096, 2 << 30)
    assert list(host["Tmpfs"]) == ["/tmp"]  # noqa: S108 - the container's own
    mounts = {mount["Destination"]: (mount["Source"], mount["RW"]) for mount in about["Mounts"]}
    assert mounts == {
        "/kit": (str(federation.kits[site]), False),
        "/data": (str(federation.folder / "data" / site), False),
        "/scratch": (str(federation.folder / "scratch" / site), True),
    }


@pytest.mark.parametrize("site", ["site-1", "site-3"])
def test_a_process_at_a_site_can_do_nothing_but_train(federation: Containers, site: str) -> None:
    code, said = federation.inside(site, "cat /proc/1/status; ls /var/run/docker.sock /run/docker.sock")
    assert code != 0
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    none = "0000000000000000"
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {none}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "0" not in status["Uid"].split()
    for place in ("/", "/data", "/kit", "/opt/mediswarm", "/etc", "/usr/local"):
        code, said = federation.inside(site, f"touch {place}/made-by-a-test")
        assert code != 0, f"{place} can be written"
        assert "Read-only file system" in said
    code, said = federation.inside(site, "touch /scratch/made-by-a-test && touch /tmp/made-by-a-test")
    assert code == 0, said


@pytest.mark.parametrize("site", SITES)
def test_a_site_opens_no_port_and_connects_to_the_server_only(
    federation: Containers, watched: Watched, site: str
) -> None:
    found = {entry for entry in watched.sockets[site] if not entry[1].startswith(DOCKERS_DNS)}
    assert found
    own, server = federation.address(site), f"{federation.address(SERVER)}:{PORT}"
    asked = {entry for entry in found if entry[0] == "OPEN" and entry[2].startswith("127.0.0.11:53")}
    others = found - asked
    assert {(state, mine.rsplit(":", 1)[0], other) for state, mine, other in others} == {
        ("ESTABLISHED", own, server)
    }


def test_nothing_of_a_run_can_be_read_on_the_network(federation: Containers, watched: Watched) -> None:
    """All of a run's packets: between a site and the server's port, and enciphered."""
    addresses = {federation.address(site) for site in SITES}
    server = (federation.address(SERVER), PORT)
    of_sites = [packet for packet in watched.capture.packets if {packet.source, packet.target} & addresses]
    assert len(of_sites) > 100
    strangers = set()
    for packet in of_sites:
        assert packet.ports is not None, packet
        ends = {(packet.source, packet.ports[0]), (packet.target, packet.ports[1])}
        if packet.protocol != 6 or server not in ends:
            strangers.add(packet)
    assert not strangers

    seen = bytes(watched.capture.bytes)
    assert SERVER.encode() in seen  # the name asked for when a connection is opened: capture works
    job, run = watched.record["job"], watched.record["run_id"]
    tensors = load_file(watched.folder / "last" / "model.safetensors")
    for secret in [job, run, "auroc", "mediswarm.flare", *tensors]:
        assert secret.encode() not in seen, secret
    for name, tensor in tensors.items():
        assert tensor.numpy().tobytes()[:32] not in seen, name


def test_healthy_means_registered_and_an_older_kit_is_refused_by_name(
    federation: Containers, stale: StaleStart
) -> None:
    """R10."""
    assert {federation.health(name) for name in (SERVER, *SITES)} == {"healthy"}
    assert stale.ended.returncode == 12, stale.ended
    assert "error[MS-K020]" in stale.ended.stderr
    assert stale.seconds < 30
    status, logs = (federation.script(STALE, mode) for mode in ("--status", "--logs"))
    assert status.returncode != 0
    for said in (status.stdout, logs.stdout + logs.stderr):
        assert "error[MS-K020]" in said
        assert "ask the operator" in said.lower()
    until(lambda: federation.health(STALE) == "unhealthy", 150, "the older kit's container is unhealthy")
    container: Container = federation.container(STALE)
    assert (container.attrs["RestartCount"], container.status) == (0, "running")


@pytest.mark.parametrize(
    "mode",
    [
        ["--preflight_check", "--job", "smoke"],
        ["--dummy_training"],
        ["--list_licenses"],
        ["--status"],
        ["--logs"],
    ],
    ids=lambda mode: mode[0],
)
def test_a_sites_other_modes_end_well(federation: Containers, mode: list[str]) -> None:
    options = [] if mode[0] in ("--status", "--logs") else federation.site_options("site-1")
    ended = federation.script("site-1", *mode, *options, within=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout


def test_a_site_leaves_and_nothing_stays(federation: Containers) -> None:
    """Last: it takes the federation apart."""
    for site in (*SITES, STALE):
        assert federation.script(site, "--stop_client").returncode == 0
    assert federation.script(SERVER, "--stop_server").returncode == 0
    assert federation.script(ADMIN, "--stop_supervisor").returncode == 0
    assert (
        federation.engine.containers.list(all=True, filters={"name": f"^mediswarm-{federation.name}-"}) == []
    )


def _submit_long_job(federation: Containers) -> str:
    """Twelve rounds, three to a segment, that two sites can do alone; gives the run."""
    document = yaml.safe_load((ROOT / "application" / "jobs" / "smoke" / "job.yml").read_text())
    document |= {
        "name": "long",
        "workflow": document["workflow"]
        | {"rounds": 12, "segment_rounds": 3, "round_quorum": 2, "round_budget": 60},
    }
    folder = federation.work / "long"
    folder.mkdir()
    (folder / "job.yml").write_text(yaml.safe_dump(document))
    submitted = federation.operator("submit", "long")
    assert submitted.returncode == 0, submitted.stderr
    return submitted.stdout.strip()


def _job_processes(federation: Containers, site: str) -> list[psutil.Process]:
    """NVFlare's processes of the job that a site works on, as soon as there is one."""

    def found() -> list[psutil.Process]:
        node = psutil.Process(federation.container(site).attrs["State"]["Pid"])
        return [process for process in node.children(recursive=True) if _JOB_PROCESS in process.cmdline()]

    processes: list[psutil.Process] = until(found, 120, f"{site} works on a job")
    return processes


def _said(federation: Containers) -> str:
    """What the supervisor says, for the message of a test that fails."""
    logs = federation.script(ADMIN, "--logs")
    return (logs.stdout + logs.stderr)[-2000:]
