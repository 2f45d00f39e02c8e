"""A server whose disk fills up while a run is under way (R21), on a small disk that is really full."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.federation import MEDISWARM, Federation, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Two sites, and a server on a disk of 40 MB."""
    place = tmp_path / "scratch" / "localhost"
    place.mkdir(parents=True)
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        with Federation(tmp_path, sites=("site-1", "site-2")) as made:
            made.start()
            yield made
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(federation: Federation) -> None:
    scratch, node = federation.scratch("localhost"), federation.nodes["localhost"]
    nvflare = federation.state("localhost")["pid"]
    run = federation.submit("smoke")
    federation.wait_for(run, lambda _, record: record.get("rounds"), 60, "a first round")
    filling = scratch / "filling"
    with filling.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(4096))

    def health() -> subprocess.CompletedProcess[str]:
        command = [*MEDISWARM, "node", "health", "--scratch", str(scratch)]
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30, check=False)

    until(lambda: "error[MS-H004]" in health().stderr, 40, "health names the full disk")
    federation.wait_for(
        run,
        lambda run, _: "No space left" in run.note and "server" in run.note,
        40,
        "the operator is told why",
    )
    last = scratch / "workspace" / "runs" / run / "last"
    assert json.loads((last / "model.json").read_text())["round"] >= 1
    assert load_file(last / "model.safetensors")
    assert node.poll() is None
    # that it is full, and that this cannot be written down; what else is logged is the run's own
    said = [line for line in federation.log("localhost").splitlines() if line.startswith("error[MS-H004]")]
    assert len(said) <= 2, "said once, not in a circle"
    filling.unlink()
    assert federation.ended(run, within=240)["state"] == "succeeded"
    assert federation.state("localhost")["pid"] == nvflare, "nothing was restarted"
