"""Kits from `mediswarm provision` at work: a server, a site with the operator's key, and one with its own."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from mediswarm.flare.build_job import build_job
from mediswarm.flare.segment import Segment
from mediswarm.provision.provisioning import provision
from mediswarm.provision.requests import complete_kit, make_request
from mediswarm.spec.catalogue import find_job
from mediswarm.spec.federation import Federation

pytestmark = pytest.mark.processes

ADMIN = "admin@example.org"
SITES = ("site-1", "site-2")
IDLE = "site-3"  # has a kit and is not started
JOBS = Path(__file__).parents[2] / "application" / "jobs"


def _until(happened: Callable[[], Any], within: float, what: str) -> Any:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := happened():
            return found
        time.sleep(0.2)
    raise AssertionError(f"within {within} s: {what}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def port() -> int:
    return _free_port()


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory, port: int) -> Path:
    """Kits of a federation in which no site runs job code.

    Server and site-1 have kits from before site-2 was there; site-2 made its own key.
    """
    before: dict[str, Any] = {
        "name": "test",
        "server": {"name": "localhost", "organisation": "example", "port": port},
        "sites": [{"name": "site-1", "organisation": "example"}],
        "admins": [{"name": ADMIN, "organisation": "example"}],
        "images": {"sites": "mediswarm/cifar10:test"},
    }
    after = before | {
        "sites": [
            *before["sites"],
            {"name": "site-2", "organisation": "example", "own_key": True},
            {"name": IDLE, "organisation": "example"},
        ]
    }
    operator, site = tmp_path_factory.mktemp("operator"), tmp_path_factory.mktemp("site-2")
    together = tmp_path_factory.mktemp("kits")
    provision(Federation.model_validate(before), operator)
    for name in ("localhost", "site-1"):
        shutil.copytree(operator / "kits" / name, together / name)
    request, _ = make_request("site-2", "example", site)
    provision(Federation.model_validate(after), operator, approve=[request])
    complete_kit(operator / "kits" / "site-2.tar.gz", site / "site-2.key", together)
    for name in (ADMIN, IDLE):
        shutil.copytree(operator / "kits" / name, together / name)
    return together


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up transcriptome for each site."""
    folder = tmp_path_factory.mktemp("data")
    lines = (JOBS / "linear_transcriptome" / "genes.txt").read_text(encoding="utf-8").splitlines()
    genes = [line for line in lines if line and not line.startswith("#")]
    for number, site in enumerate(SITES):
        random = np.random.default_rng(number)
        (folder / site).mkdir()
        with (folder / site / "expression.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["sample", "patient", "diagnosis", *genes])
            for case in range(40):
                ill = case % 2
                values = random.normal(6, 1.5, len(genes)) + 1.5 * ill * (np.arange(len(genes)) < 5)
                label = ["control", "case"][ill]
                table.writerow([f"s{case}", f"p{case}", label, *values.clip(0, 25).round(4)])
    return folder


@pytest.fixture(scope="module")
def nodes(
    kits: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Server and sites, each a process."""
    scratch = tmp_path_factory.mktemp("scratch")
    running = {}
    for name in ("localhost", *SITES):
        (scratch / name).mkdir()
        arguments = ["--kit", str(kits / name), "--scratch", str(scratch / name), "--data", str(data)]
        with (scratch / f"{name}.log").open("wb") as log:
            running[name] = subprocess.Popen(
                [sys.executable, "-c", "from mediswarm.cli import main; main()", "node", "run", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=scratch,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
    yield running
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    for process in running.values():
        process.wait(20)


@pytest.fixture(scope="module")
def session(nodes: object, kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session of NVFlare's own API with our admin kit; both sites are there."""
    kit = shutil.copytree(kits / ADMIN, tmp_path_factory.mktemp("admin") / ADMIN)

    def connect() -> Session | None:
        try:
            return new_secure_session(ADMIN, str(kit), timeout=2)
        except Exception:  # noqa: BLE001 - NVFlare raises several kinds while the server starts
            return None

    opened = _until(connect, 40, "the server takes the admin's certificate")
    _until(lambda: {c.name for c in opened.get_system_info().client_info} == set(SITES), 40, "sites register")
    yield opened
    opened.close()


def test_a_site_added_later_with_its_own_key_registers_with_the_server_that_was_there(
    session: Session,
) -> None:
    assert {client.name for client in session.get_system_info().client_info} == set(SITES)


def _ended(session: Session, folder: Path) -> dict[str, Any]:
    job = session.submit_job(str(folder))

    def meta() -> dict[str, Any] | None:
        said: dict[str, Any] = session.get_job_meta(job)
        return said if said["status"].startswith(("FINISHED", "FAILED")) else None

    ended: dict[str, Any] = _until(meta, 60, "the job ends")
    return ended


def test_a_job_that_brings_code_is_refused_by_name(session: Session, tmp_path: Path) -> None:
    job = find_job("minimal_training_pytorch_cnn")

    ended = _ended(session, build_job(job, tmp_path, "code", Segment(1, 1, SITES)))

    assert ended["status"] != "FINISHED:COMPLETED"
    assert "BYOC not permitted" in str(ended["job_deploy_detail"])


def test_a_job_of_an_installed_pipeline_runs_and_only_the_server_listens(
    session: Session, nodes: dict[str, subprocess.Popen[bytes]], port: int, tmp_path: Path
) -> None:
    seen: list[tuple[str, str, int]] = []
    job = find_job("linear_transcriptome")
    number = session.submit_job(str(build_job(job, tmp_path, "plain", Segment(1, 2, SITES))))

    def ended() -> bool:
        seen.extend(_connections(nodes))
        return bool(session.get_job_meta(number)["status"].startswith(("FINISHED", "FAILED")))

    _until(ended, 60, "the job ends")

    assert session.get_job_meta(number)["status"] == "FINISHED:COMPLETED"
    assert {where for name, kind, where in seen if kind == "listens"} == {port}
    assert {name for name, kind, _ in seen if kind == "listens"} == {"localhost"}
    assert {where for name, kind, where in seen if name in SITES and kind == "connects to"} == {port}


def _connections(nodes: dict[str, subprocess.Popen[bytes]]) -> Iterator[tuple[str, str, int]]:
    """Every TCP socket of a node's processes: (node, what it does, port)."""
    for name, process in nodes.items():
        for member in [process, *psutil.Process(process.pid).children(recursive=True)]:
            try:
                sockets = psutil.Process(member.pid).net_connections("tcp")
            except psutil.NoSuchProcess:
                continue
            for one in sockets:
                if one.status == psutil.CONN_LISTEN:
                    yield name, "listens", one.laddr.port
                elif one.raddr:
                    yield name, "connects to", one.raddr.port


def test_the_server_keeps_its_jobs_in_its_workspace(session: Session, nodes: dict[str, Any]) -> None:
    workspace = Path(psutil.Process(nodes["localhost"].pid).cwd()) / "localhost" / "workspace"

    assert any((workspace / "jobs-storage").iterdir())
    assert (workspace / "snapshot-storage").is_dir()


@pytest.mark.parametrize("name", [IDLE, ADMIN])
def test_nvflares_own_check_passes_while_the_server_runs(
    name: str, session: Session, kits: Path, tmp_path: Path
) -> None:
    """It starts the kit's node, which the server would refuse if the site were there already."""
    assert "overall: pass" in _preflight(kits / name, tmp_path)


def _preflight(kit: Path, folder: Path) -> str:
    copy = shutil.copytree(kit, folder / kit.name)  # it writes into the kit
    nvflare = Path(sys.executable).with_name("nvflare")
    done = subprocess.run(
        [str(nvflare), "preflight-check", "-p", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        # fl_admin.sh takes the python3 of the path
        env={**os.environ, "PATH": f"{nvflare.parent}:{os.environ['PATH']}"},
    )
    return done.stdout + done.stderr


def test_nvflares_own_check_of_a_server_kit(make_federation: Callable[..., Path], tmp_path: Path) -> None:
    kit = make_federation(port=_free_port(), sites=["site-1"]) / "localhost"

    assert "overall: pass" in _preflight(kit, tmp_path)
