"""The node with a real NVFlare server and real sites in processes of their own, on real certificates."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.processes

MEDISWARM = [sys.executable, "-c", "from mediswarm.cli import main; main()"]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(happened: Callable[[], Any], within: float, what: str) -> Any:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := happened():
            return found
        time.sleep(0.1)
    raise AssertionError(f"within {within} s: {what}")


class Running:
    """A node in a process of its own."""

    def __init__(self, kit: Path, scratch: Path) -> None:
        self.scratch = scratch
        scratch.mkdir(exist_ok=True)
        self.said = scratch / "said.txt"
        with self.said.open("ab") as stream:
            self.process = subprocess.Popen(
                [*MEDISWARM, "node", "run", "--kit", str(kit), "--scratch", str(scratch)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    @property
    def status(self) -> dict[str, Any]:
        file = self.scratch / "node.json"
        return json.loads(file.read_text()) if file.is_file() else {"state": None, "error": None}

    @property
    def error(self) -> str | None:
        said = self.status["error"]
        return said["code"] if said else None

    def is_in(self, state: str, within: float = 30) -> dict[str, Any]:
        until(lambda: self.status["state"] == state, within, f"{state}, but {self.said.read_text()[-2000:]}")
        return self.status

    def family(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def ask(self, command: str) -> subprocess.CompletedProcess[str]:
        arguments = [*MEDISWARM, "node", command, "--scratch", str(self.scratch)]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=20, check=False)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self) -> None:
        """As a power cut: everything at once, nothing said."""
        for member in self.family() if self.process.poll() is None else []:
            member.kill()
        self.process.wait(15)


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[Path, Path], Running]]:
    nodes: list[Running] = []

    def starter(kit: Path, scratch: Path) -> Running:
        nodes.append(Running(kit, scratch))
        return nodes[-1]

    yield starter
    for node in nodes:
        node.kill()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def kits(make_federation: Callable[..., Path], port: int) -> Path:
    return make_federation(port=port)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def server(start: Callable[..., Running], kits: Path, folder: Path) -> Running:
    return start(kits / "localhost", folder / "server")


@pytest.fixture(scope="module")
def site(start: Callable[..., Running], kits: Path, folder: Path) -> Running:
    return start(kits / "site-1", folder / "site-1")


def test_without_a_server_a_site_says_so_and_goes_on_trying(site: Running) -> None:
    until(lambda: site.error == "MS-N002", 20, "the refused port is named")
    unhealthy = site.ask("health")
    assert unhealthy.returncode == 14
    assert "error[MS-N002]" in unhealthy.stderr


def test_a_site_registers_and_only_then_is_healthy(server: Running, site: Running) -> None:
    server.is_in("serving")
    assert server.ask("health").returncode == 0
    site.is_in("registered", within=40)
    assert site.ask("health").returncode == 0
    assert "registered" in site.ask("status").stdout


def test_a_site_listens_on_no_port(site: Running, port: int) -> None:
    """Acceptance 5: it connects to the server and to nothing else."""
    connections = [connection for member in site.family() for connection in member.net_connections("inet")]
    assert [c for c in connections if c.status == psutil.CONN_LISTEN] == []
    assert {c.raddr.port for c in connections if c.raddr} == {port}


def test_a_second_node_on_the_same_scratch_directory_is_refused(site: Running, kits: Path) -> None:
    arguments = ["node", "run", "--kit", str(kits / "site-1"), "--scratch", str(site.scratch)]
    second = subprocess.run([*MEDISWARM, *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 10
    assert f"error[MS-N008] {site.scratch}" in second.stderr
    assert f"process {site.process.pid}" in second.stderr


def test_a_second_node_with_the_same_kit_is_refused_by_name(
    start: Callable[..., Running], site: Running, kits: Path, folder: Path
) -> None:
    """R23."""
    second = start(kits / "site-1", folder / "second")
    second.is_in("refused", within=30)
    assert second.error == "MS-K023"
    assert "a node of site-1 is registered and alive" in second.said.read_text()
    assert second.process.poll() is None, "a restart policy would loop if it ended"
    assert len(second.family()) == 1
    assert second.ask("health").returncode == 12
    assert second.stop() == 12
    assert site.status["state"] == "registered"


def test_a_kit_of_another_generation_is_refused_for_good(
    start: Callable[..., Running],
    make_federation: Callable[..., Path],
    server: Running,
    folder: Path,
    port: int,
) -> None:
    """R10: within 30 s, in plain words, and nothing is tried again."""
    old = start(make_federation(port=port) / "site-2", folder / "old")
    old.is_in("refused", within=30)
    assert old.error == "MS-K020"
    assert "the kit is of generation" in old.status["error"]["message"]
    assert "Ask the operator for the new startup kit" in old.said.read_text()
    assert old.process.poll() is None
    assert len(old.family()) == 1
    assert old.stop() == 12


def test_a_killed_client_comes_back(site: Running) -> None:
    """R6, R11: NVFlare's process is killed; the same node registers again, and is not taken for a rival."""
    before = site.status["pid"]
    os.kill(before, signal.SIGKILL)
    until(lambda: site.status["pid"] not in (before, None), 20, "NVFlare is started again")
    site.is_in("registered", within=30)


def test_a_site_that_lost_power_comes_back(start: Callable[..., Running], site: Running, kits: Path) -> None:
    """R11: locks and process ids of the dead do not keep the next one out."""
    client = psutil.Process(site.status["pid"])
    site.process.kill()
    until(lambda: not client.is_running(), 5, "NVFlare does not outlive its node")
    site.process.wait(5)
    (site.scratch / "workspace" / "pid.fl").write_text("1")
    (site.scratch / "workspace" / "daemon_pid.fl").write_text("1")
    assert site.ask("health").returncode == 14
    again, started = start(kits / "site-1", site.scratch), time.time()
    until(lambda: _answered(again) > started, 30, "it is registered")
    again.is_in("registered", within=5)
    site.process = again.process


def test_sites_return_to_a_server_that_lost_power(
    start: Callable[..., Running], server: Running, site: Running, kits: Path
) -> None:
    """R8: the server is killed and started again on the same state."""
    server.kill()
    again = start(kits / "localhost", server.scratch)
    again.is_in("serving", within=30)
    served = time.time()
    until(
        lambda: _answered(site) > served and site.status["state"] == "registered",
        45,
        "the site is registered with the new server",
    )
    server.process = again.process


def test_a_stopped_site_leaves_nothing_and_says_goodbye(server: Running, site: Running) -> None:
    """R19: whatever NVFlare started is gone, also what had lost its parent; the server knows at once."""
    client = psutil.Process(site.status["pid"])
    members = [*site.family(), client]
    begun = time.monotonic()
    assert site.stop() == 0
    assert time.monotonic() - begun < 10
    assert [member for member in members if member.is_running()] == []
    assert site.status["state"] == "stopped"
    until(lambda: "Client Name:site-1 left" in server.said.read_text(), 5, "the server was told")
    assert server.stop() == 0


def _answered(node: Running) -> float:
    file = node.scratch / "registration.json"
    said = json.loads(file.read_text()) if file.is_file() else {}
    return said["at"] if said.get("state") == "registered" else 0.0
