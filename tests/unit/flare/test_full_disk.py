"""A node on a full disk: named, alive, neither restarting nor being restarted (R21)."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mediswarm.errors import HostError, MediSwarmError
from mediswarm.flare.node import Node
from mediswarm.flare.node_processes import _copy
from mediswarm.flare.node_state import (
    NodeState,
    is_running,
    node_state,
    require_health,
    take_lock,
    write_state,
)


class Disk:
    """A disk of so many bytes left, as far as our code asks or writes its state."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 1 << 30
        usage = shutil.disk_usage("/")
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=self.free))

        def written(scratch: Path, state: NodeState) -> None:
            if self.free == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            write_state(scratch, state)

        monkeypatch.setattr("mediswarm.flare.node.write_state", written)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def node(make_kit: Callable[..., Path], tmp_path: Path) -> Node:
    (tmp_path / "scratch").mkdir()
    return Node(make_kit(), tmp_path / "scratch", {})


def test_nothing_is_started_on_a_full_disk_until_there_is_room(
    node: Node, disk: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[int] = []
    monkeypatch.setattr(node, "_start", lambda: started.append(1))
    disk.free = 0
    for _ in range(20):
        node._step()
    said = capsys.readouterr().err
    assert said.count("error[MS-H004]") == 2, "the reason, and that it cannot be written down; both once"
    assert (node.state, started) == ("connecting", [])
    disk.free = 1 << 30
    node._step()
    assert started == [1]


def test_a_disk_that_fills_up_while_nvflare_is_started(
    node: Node, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "/scratch/workspace")

    monkeypatch.setattr(node, "_start", full)
    node._step()
    assert node_state(node.scratch).problem is not None
    assert node_state(node.scratch).problem.code == "MS-H004"  # type: ignore[union-attr]
    assert node._next_start > time.monotonic(), "not at once again"


def test_health_says_that_the_disk_is_full_though_the_node_cannot_write_it(node: Node, disk: Disk) -> None:
    node._enter("registered")
    file = node.scratch / "node.json"
    with take_lock(node.scratch):
        assert require_health(node.scratch).state == "registered"
        file.write_text(file.read_text().replace(node_state(node.scratch).seen, "2026-01-01T00:00:00+00:00"))
        disk.free = 0
        with pytest.raises(HostError) as raised:
            require_health(node.scratch)
        assert raised.value.code == "MS-H004"
        file.unlink()
        with pytest.raises(HostError, match="MS-H004"):
            node_state(node.scratch)


def test_nvflares_output_is_taken_though_it_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else NVFlare would stand still at the first full pipe; and no traceback for each line."""
    (tmp_path / "logs").write_text("no folder can be made here")
    printed = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", io.TextIOWrapper(printed, write_through=True))
        _copy(io.BytesIO(b"one\ntwo\n"), tmp_path / "logs" / "node.log")
        assert printed.getvalue() == b"one\ntwo\n"
    assert capsys.readouterr().err == ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False)
    if done.returncode:
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_node_on_a_disk_that_is_really_full(make_kit: Callable[..., Path], small_disk: Path) -> None:
    """It lives, says MS-H004 to whoever asks, and goes on when there is room; the last model is as it was."""
    model = small_disk / "workspace" / "runs" / "run" / "last" / "model.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"good")
    filling = small_disk / "filling"
    with filling.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(4096))
    command = [sys.executable, "-c", "from mediswarm.cli import main; main()", "node"]
    place = ["--scratch", str(small_disk)]
    running = subprocess.Popen([*command, "run", "--kit", str(make_kit()), *place], stderr=subprocess.PIPE)
    try:
        until(lambda: is_running(small_disk))
        asked = subprocess.run([*command, "health", *place], capture_output=True, text=True, check=False)
        assert (asked.returncode, "error[MS-H004]" in asked.stderr) == (10, True), asked.stderr
        assert running.poll() is None
        filling.unlink()
        until(lambda: code(small_disk) not in (None, "MS-H004"))
        assert model.read_bytes() == b"good"
    finally:
        running.terminate()
        said = running.communicate(timeout=20)[1].decode()
    assert (running.returncode, "Traceback" in said) == (0, False), said


def code(scratch: Path) -> str | None:
    try:
        problem = node_state(scratch).problem
    except MediSwarmError:
        return None
    return problem.code if problem else None


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
