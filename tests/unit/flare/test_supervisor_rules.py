"""What the end of a segment means for its run."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from mediswarm.errors import MediSwarmError, RunCrashed, RunFailed
from mediswarm.flare.federation_server import SegmentJob
from mediswarm.flare.run_state import SegmentEntry
from mediswarm.flare.supervisor_rules import Verdict, given_up, judge, waits_for_room

SEGMENT = SegmentEntry(
    "run", 3, ("site-1", "site-2"), "ended", "job-id", 0.0, 6, 6, "", None, "2026-01-01", "2026-01-01"
)


def judged(
    status: str,
    error: MediSwarmError | None = None,
    deployed: tuple[str, ...] = (),
    same_server: bool = True,
) -> Verdict:
    record: dict[str, Any] | None = None
    if error is not None:
        record = {"state": "stopped", "error": error.as_dict(), "rounds": []}
    return judge(SEGMENT, SegmentJob(status, deployed), record, "run", same_server)


@pytest.mark.parametrize(
    ("status", "same_server", "state"),
    [
        ("FINISHED:EXECUTION_EXCEPTION", True, None),  # NVFlare's own, when a site's process was killed (R6)
        ("FINISHED:ABORTED", False, None),  # a server that is shut down in order (R8)
        ("FINISHED:ABORTED", True, "stopped"),  # an admin, past the supervisor
    ],
)
def test_only_an_abort_that_someone_wanted_stops_the_run(
    status: str, same_server: bool, state: str | None
) -> None:
    stopped = RunFailed("MS-R007", "the run was aborted")
    assert judged(status, stopped, same_server=same_server).state == state


def test_a_job_that_was_changed_on_disk_ends_the_run_by_name() -> None:
    """R22: handed in anew it would run, and nobody would know."""
    verdict = judged(
        "FINISHED:FAILED_TO_RUN", deployed=("server: app app does not pass signature verification",)
    )
    assert verdict.state == "failed"
    assert verdict.error is not None
    assert verdict.error.code == "MS-S020"
    assert "NVFlare job job-id of segment 3: server: app" in verdict.error.message


def test_a_round_below_quorum_over_a_full_disk_is_waited_for() -> None:
    """What a site lacks for its part of a round it may have soon; the run goes on from the last model."""
    full = RunCrashed("MS-H004", "round 6: 1 of 2 sites answered, 2 needed; missing: site-2 (MS-H004)")
    verdict = judged("FINISHED:EXECUTION_EXCEPTION", full)
    assert verdict.state is None
    ended = datetime.now(timezone.utc).isoformat()
    assert verdict.error is not None
    died = replace(SEGMENT, error=verdict.error.as_dict(), ended=ended)
    assert given_up([died] * 3, 0) is None
    waiting = waits_for_room([died], 0)
    assert waiting is not None
    assert "site-2" in waiting[0].message


@pytest.mark.parametrize(
    "reason", ["OSError: [Errno 28] No space left", "FileNotFoundError: No usable temporary directory found"]
)
def test_a_site_without_room_for_the_job_has_not_refused_it(reason: str) -> None:
    verdict = judge(
        SEGMENT,
        SegmentJob("FINISHED:FAILED_TO_RUN", (f"site-2: NVFLARE_ERROR: {reason}",)),
        None,
        "run",
        same_server=True,
    )
    assert verdict.state is None
    assert verdict.error is not None
    assert (verdict.error.code, "site-2" in verdict.error.message) == ("MS-H004", True)
