"""What a node says about itself, and who may have its scratch directory."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mediswarm.errors import HostError, KitError, MediSwarmError
from mediswarm.flare.node_state import (
    NodeState,
    disk_error,
    is_running,
    node_state,
    require_health,
    take_lock,
    utc,
    write_state,
)


def fine() -> NodeState:
    """A site's node that was heard of just now."""
    return NodeState(
        state="registered",
        since=utc(),
        seen=utc(),
        role="site",
        name="site-1",
        federation="demo",
        generation="0123456789ab",
        server="localhost:8002",
        heartbeat=utc(),
    )


def reason(scratch: Path) -> str:
    with pytest.raises(MediSwarmError) as raised:
        require_health(scratch)
    return raised.value.code


def test_registered_and_answered_is_healthy(tmp_path: Path) -> None:
    write_state(tmp_path, fine())
    with take_lock(tmp_path):
        assert require_health(tmp_path) == fine()
        write_state(tmp_path, replace(fine(), state="serving", role="server", heartbeat=None))
        assert require_health(tmp_path).state == "serving"


def test_a_site_that_is_not_answered_is_not_healthy(tmp_path: Path) -> None:
    """R10: health is being in touch, not being alive."""
    with take_lock(tmp_path):
        write_state(tmp_path, replace(fine(), heartbeat=utc(time.time() - 61)))
        assert reason(tmp_path) == "MS-N010"
        write_state(tmp_path, replace(fine(), state="connecting", heartbeat=None))
        assert reason(tmp_path) == "MS-N010"


def test_the_reason_is_the_nodes_own(tmp_path: Path) -> None:
    error = KitError("MS-K020", "the kit is of generation 0123456789ab")
    write_state(tmp_path, replace(fine(), state="refused", error=error.as_dict()))
    with take_lock(tmp_path), pytest.raises(KitError) as raised:
        require_health(tmp_path)
    assert raised.value.describe() == error.describe()


def test_a_node_that_died_is_not_healthy_whatever_it_said_last(tmp_path: Path) -> None:
    assert reason(tmp_path) == "MS-N009"
    write_state(tmp_path, fine())
    assert reason(tmp_path) == "MS-N009"
    assert node_state(tmp_path) == fine()


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    """R11: killed while it held the lock."""
    code = (
        "import sys, os, signal; from pathlib import Path; from mediswarm.flare.node_state import take_lock\n"
        "lock = take_lock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=20)
    assert "process" in (tmp_path / "node.lock").read_text()
    assert not is_running(tmp_path)
    with take_lock(tmp_path):
        assert is_running(tmp_path)


def test_the_lock_of_a_living_one_is_not(tmp_path: Path) -> None:
    with take_lock(tmp_path), pytest.raises(HostError, match="MS-N008"):
        take_lock(tmp_path)


def test_only_a_full_disk_is_said_to_be_about_writing(tmp_path: Path) -> None:
    denied = disk_error(PermissionError(errno.EACCES, "Permission denied", "/kit/local/file"), tmp_path)
    assert (denied.code, denied.file) == ("MS-H001", "/kit/local/file")
    assert "written" not in denied.message


def test_a_scratch_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="MS-H001"):
        take_lock(tmp_path / "file" / "scratch")
