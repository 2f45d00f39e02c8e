"""What a node says about itself: ``<scratch>/node.json``, its lock, and what NVFlare's process reports.

NVFlare is not imported here: health checks and status start in a fifth of a second.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, Literal

from mediswarm.errors import NO_ROOM, HostError, MediSwarmError, SessionError, error_from_dict
from mediswarm.spec.kit import Role

NODE_FILE, LOCK_FILE, REGISTRATION_FILE, INSTANCE_FILE = (
    "node.json",
    "node.lock",
    "registration.json",
    "instance",
)
RUNS = "runs"
"""Where NVFlare's workspace holds what outlives its jobs: a folder for each run."""
State = Literal["starting", "connecting", "registered", "serving", "refused", "stopped"]
HEARTBEAT_LIMIT_S = 60.0
"""A site that was not answered by the server for so long is not healthy."""
FULL_BYTES = 1 << 20
"""With less free, not even a node's own small files can be relied on."""
_STALE_S = 15.0  # three times as long as a node leaves between two writings of its state


@dataclass(frozen=True)
class NodeState:
    """One moment of a node.

    `since` is when `state` began, `seen` when the node wrote this, `heartbeat` when the server last
    answered (sites), all in UTC; `pid` is the process of NVFlare, None while there is none.
    """

    state: State
    since: str
    seen: str
    role: Role
    name: str
    federation: str
    generation: str
    server: str
    error: dict[str, Any] | None = None
    pid: int | None = None
    heartbeat: str | None = None
    image: str | None = None

    @property
    def problem(self) -> MediSwarmError | None:
        """The error that the node has noted."""
        return error_from_dict(self.error) if self.error else None


def utc(moment: float | None = None) -> str:
    """A moment in seconds since 1970, or now, as ISO 8601."""
    at = datetime.now(timezone.utc) if moment is None else datetime.fromtimestamp(moment, timezone.utc)
    return at.isoformat(timespec="seconds")


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Replace a JSON file in one step, so that no reader sees half of it."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file's object; empty when there is none yet."""
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def disk_error(error: OSError, place: Path) -> HostError:
    """MS-H004 where an error says that the disk (or this account's share of it) is full, else MS-H001."""
    code = "MS-H004" if error.errno in NO_ROOM else "MS-H001"
    # of the disk itself there is only writing to complain; any other error may be one of reading
    what = "it cannot be written" if code == "MS-H004" else "it cannot be used"
    return HostError(code, f"{what}: {error.strerror}", file=error.filename or place)


def require_space(scratch: Path) -> None:
    """Raises HostError MS-H004 when the disk of `scratch` has less than :data:`FULL_BYTES` left."""
    free = shutil.disk_usage(scratch).free
    if free < FULL_BYTES:
        raise HostError("MS-H004", f"{free >> 10} KiB are left on the disk of this directory", file=scratch)


def write_state(scratch: Path, state: NodeState) -> None:
    """Say how the node is."""
    write_json(scratch / NODE_FILE, asdict(state))


def node_state(scratch: Path) -> NodeState:
    """What the node on `scratch` says.

    Raises:
        SessionError: MS-N009 when none was ever started there.
        HostError: MS-H004 when one runs there and has no room to say anything.
    """
    content = read_json(scratch / NODE_FILE)
    if not content and is_running(scratch):
        require_space(scratch)
    if not content:
        raise SessionError("MS-N009", "no node was started with this scratch directory", file=scratch)
    return NodeState(**content)


def is_running(scratch: Path) -> bool:
    """Whether a living node holds the lock of `scratch`."""
    try:
        stream = (scratch / LOCK_FILE).open("rb")
    except OSError:
        return False
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def take_lock(scratch: Path) -> IO[str]:
    """Lock `scratch` for this process; the kernel lets go when it dies, so no lock is ever stale (R11).

    Raises:
        HostError: MS-N008 when a living node has it; MS-H001 when the directory cannot be written, MS-H004
            when its disk is full.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        stream = (scratch / LOCK_FILE).open("a+")
    except OSError as error:
        raise disk_error(error, scratch) from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.seek(0)
        holder = stream.read().strip() or "another process"
        stream.close()
        raise HostError("MS-N008", f"it is held by {holder}", file=scratch / LOCK_FILE) from error
    stream.truncate(0)
    with suppress(OSError):  # on a full disk it is a lock all the same
        os.write(stream.fileno(), f"process {os.getpid()} since {utc()}".encode())
    return stream


def require_health(scratch: Path) -> NodeState:
    """The node's state, if it is in touch: registered and answered (site), or serving (server) (R10).

    Raises:
        SessionError: MS-N009 when no node runs; MS-N010 when it is not in touch and says no reason.
        HostError: MS-H004 when it could not say anything lately, because the disk is full.
        MediSwarmError: the reason that the node has noted.
    """
    said = node_state(scratch)
    if not is_running(scratch):
        raise SessionError("MS-N009", f"the node was last seen {said.seen}, as {said.state}", file=scratch)
    if age(said.seen) > _STALE_S:
        require_space(scratch)
    silent = said.heartbeat is not None and age(said.heartbeat) > HEARTBEAT_LIMIT_S
    if said.state == "serving" or (said.state == "registered" and not silent):
        return said
    raise said.problem or SessionError(
        "MS-N010", f"the node is {said.state} since {said.since}", file=scratch
    )


def age(moment: str) -> float:
    """Seconds since a moment written by :func:`utc`."""
    return (datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds()
