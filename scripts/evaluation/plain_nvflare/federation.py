"""The benchmark's work on NVFlare as it comes: its own provisioning, kits, start script and FedAvg recipe."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import yaml
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.client.config import ExchangeFormat
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from federation import free_port, until

HERE = Path(__file__).parent
ADMIN = "admin@example.org"
ROUNDS = 5


def run(
    folder: Path, sites: int, width: int, depth: int, memory: AbstractContextManager[Any]
) -> dict[str, float]:
    """Five rounds over mutual TLS, one process per node and one thread per training.

    Tensors travel as tensors and wait on disk at the server; sites ask for tasks ten times a second.

    Returns:
        seconds of a round after the first (from one arrival of the model at a site to the next), and of
        its training and validation at the slowest site.
    """
    names = [f"site-{index + 1}" for index in range(sites)]
    kits = _provision(folder, names)
    log = (folder / "nodes.log").open("wb")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    nodes = [
        subprocess.Popen(
            ["/bin/bash", str(kits / name / "startup" / "start.sh")],
            stdout=log,
            stderr=log,
            env=environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            start_new_session=True,
        )
        for name in ("localhost", *names)
    ]
    try:
        session = _connected(kits / ADMIN, names)
        job = _export(folder, names, width, depth)
        with memory:
            number = session.submit_job(str(job))
            until(lambda: session.get_job_meta(number)["status"].startswith("FINISHED"), 900, "the job ends")
        status = session.get_job_meta(number)["status"]
        if status != "FINISHED:COMPLETED":
            raise SystemExit(f"NVFlare's job ended with {status}; see {folder}")
        session.close()
    finally:
        _stop(folder, nodes)
    return _times(folder)


def _provision(folder: Path, names: list[str]) -> Path:
    people = [
        {"name": "localhost", "type": "server", "org": "example", "fed_learn_port": free_port()},
        *({"name": name, "type": "client", "org": "example"} for name in names),
        {"name": ADMIN, "type": "admin", "org": "example", "role": "project_admin"},
    ]
    builders = [
        {
            "path": "nvflare.lighter.impl.workspace.WorkspaceBuilder",
            "args": {"template_file": ["master_template.yml"]},
        },
        {
            "path": "nvflare.lighter.impl.static_file.StaticFileBuilder",
            "args": {"config_folder": "config", "scheme": "grpc"},
        },
        {"path": "nvflare.lighter.impl.cert.CertBuilder"},
        {"path": "nvflare.lighter.impl.signature.SignatureBuilder"},
    ]
    project = {"api_version": 3, "name": "bench", "participants": people, "builders": builders}
    (folder / "project.yml").write_text(yaml.safe_dump(project))
    nvflare = str(Path(sys.executable).with_name("nvflare"))
    subprocess.run(
        [nvflare, "provision", "-p", str(folder / "project.yml"), "-w", str(folder / "ws"), "--force"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder / "ws" / "bench" / "prod_00"


def _export(folder: Path, names: list[str], width: int, depth: int) -> Path:
    recipe = FedAvgRecipe(
        name="bench",
        model={"class_path": "model.Stack", "args": {"width": width, "depth": depth}},
        min_clients=len(names),
        num_rounds=ROUNDS,
        train_script=str(HERE / "train.py"),
        train_args=f"{width} {depth} {folder}",
        server_expected_format=ExchangeFormat.PYTORCH,
        enable_tensor_disk_offload=True,
    )
    recipe.add_client_file(str(HERE / "model.py"))
    recipe.add_server_file(str(HERE / "model.py"))
    recipe.add_server_config({"server": {"task_request_interval": 0.1}})
    recipe.export(str(folder / "job"))
    return folder / "job" / "bench"


def _connected(kit: Path, names: list[str]) -> Session:
    def connect() -> Session | None:
        try:
            return new_secure_session(ADMIN, str(kit), timeout=2)
        except Exception:  # noqa: BLE001 - NVFlare raises several kinds while the server starts
            return None

    session: Session = until(connect, 60, "the server answers")
    until(lambda: len(session.get_system_info().client_info) == len(names), 60, "all sites register")
    return session


def _times(folder: Path) -> dict[str, float]:
    sites = [
        [json.loads(line) for line in file.read_text().splitlines()] for file in folder.glob("train-*.jsonl")
    ]
    periods = [after["at"] - before["at"] for site in sites for before, after in itertools.pairwise(site)]
    slowest = [max(site[index]["s"] for site in sites) for index in range(ROUNDS)]
    return {
        "later_round_s": round(statistics.mean(periods), 3),
        "train_validate_s": round(statistics.mean(slowest), 3),
    }


def _stop(folder: Path, nodes: list[subprocess.Popen[bytes]]) -> None:
    for node in nodes:
        os.killpg(node.pid, signal.SIGKILL)
    for process in psutil.process_iter():  # NVFlare's script starts its node in the background
        with contextlib.suppress(psutil.Error):
            if f"{folder}/ws" in " ".join(process.cmdline()):
                process.kill()
