"""NVFlare's workspace, and the end of everything below a node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mediswarm.errors import KitError
from mediswarm.flare.node_processes import bury, prepare_workspace


@pytest.fixture
def kit(make_kit: Callable[..., Path]) -> Path:
    folder = make_kit()
    (folder / "local").mkdir()
    (folder / "local" / "resources.json").write_text("{}")
    return folder


def test_the_workspace_links_the_kit_as_it_is_now(kit: Path, tmp_path: Path) -> None:
    workspace = prepare_workspace(kit, tmp_path / "scratch")
    assert (workspace / "local" / "resources.json").read_text() == "{}"
    assert (workspace / "startup" / "client.key").is_symlink(), "no second copy of the key"
    (workspace / "local" / "written_by_nvflare").write_text("")
    for name in ("pid.fl", "daemon_pid.fl", "shutdown.fl"):
        (workspace / name).write_text("1")
    (kit / "local" / "resources.json").rename(kit / "local" / "renamed.json")
    prepare_workspace(kit, tmp_path / "scratch")
    assert sorted(file.name for file in (workspace / "local").iterdir()) == [
        "renamed.json",
        "written_by_nvflare",
    ]
    assert not list(workspace.glob("*.fl")), "R11"


def test_a_copy_of_the_kit_in_the_workspace_is_not_overwritten(kit: Path, tmp_path: Path) -> None:
    local = tmp_path / "scratch" / "workspace" / "local"
    local.mkdir(parents=True)
    (local / "resources.json").write_text("theirs")
    with pytest.raises(KitError) as raised:
        prepare_workspace(kit, tmp_path / "scratch")
    assert raised.value.file == str(local / "resources.json")
    assert (local / "resources.json").read_text() == "theirs"


STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)
PARENT = f"""
import os, subprocess, sys, time
from mediswarm.flare.node_processes import adopt_orphans, bury, end_family
adopt_orphans()
# a child that ignores SIGTERM in a session of its own, whose own parent is killed
middle = subprocess.Popen([sys.executable, "-c", '''
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
'''], stdout=subprocess.PIPE)
orphan = int(middle.stdout.readline())
middle.kill()
middle.wait()
print(orphan, flush=True)
begun = time.monotonic()
end_family(None, grace=0.5)
print(time.monotonic() - begun, flush=True)
sys.stdin.readline()
"""


def test_nothing_survives_the_end_of_a_family() -> None:
    """R19: not an orphan, not one in a session of its own, not one that ignores SIGTERM."""
    node = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert node.stdout is not None
    try:
        orphan = int(node.stdout.readline())
        assert float(node.stdout.readline()) < 5
        assert not psutil.pid_exists(orphan), "ended and buried"
    finally:
        node.communicate("\n", timeout=10)
    assert node.returncode == 0


def test_nvflares_process_does_not_outlive_a_killed_node(tmp_path: Path) -> None:
    """The kernel ends it: a node that is killed cannot."""
    code = (
        "import subprocess, sys\n"
        "from mediswarm.flare.process_family import end_with_parent\n"
        "child = subprocess.Popen([sys.executable, '-c', 'from mediswarm.flare.process_family import "
        "end_with_parent; end_with_parent(); print(1, flush=True); import time; time.sleep(60)'],"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); sys.stdin.readline()"
    )
    node = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert node.stdout is not None
    child = psutil.Process(int(node.stdout.readline()))
    os.kill(node.pid, signal.SIGKILL)
    node.communicate()
    child.wait(5)


def test_dead_orphans_are_buried_and_the_head_is_left_to_its_owner() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as head:
        orphan = os.posix_spawn("/bin/true", ["true"], {})
        for child in (head.pid, orphan):
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

        bury(besides=head.pid)
        assert psutil.Process(head.pid).status() == psutil.STATUS_ZOMBIE
        assert head.poll() == 3, "its owner learns how it ended"

        bury(besides=head.pid)
        assert not psutil.pid_exists(orphan)
