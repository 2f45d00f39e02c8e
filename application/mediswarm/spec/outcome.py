"""How a run ends: few states with plain names."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Literal

from mediswarm.errors import MediSwarmError, RunCrashed, RunTimedOut

State = Literal["running", "succeeded", "failed", "crashed", "timed out", "stopped"]


def state_of(error: MediSwarmError) -> State:
    """The name of the end that an error makes."""
    if error.code == "MS-R007":
        return "stopped"
    states: dict[int, State] = {RunCrashed.exit_code: "crashed", RunTimedOut.exit_code: "timed out"}
    return states.get(error.exit_code, "failed")


def now() -> str:
    """The time in UTC, ISO 8601 to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
