"""The supervisor: takes a run from segment to segment until it has ended, whatever dies meanwhile.

``step`` does what can be done now and never waits. What it is about to do is written down before,
and what came of it afterwards: a supervisor that is killed anywhere goes on where it was.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mediswarm.errors import MediSwarmError, RunFailed, SessionError
from mediswarm.flare.federation_server import FederationServer, SegmentJob
from mediswarm.flare.node_state import disk_error
from mediswarm.flare.operator_files import BuildJob, OperatorFiles
from mediswarm.flare.run_state import Run, RunState, SegmentEntry
from mediswarm.flare.segment import Segment
from mediswarm.flare.supervisor_rules import (
    PAUSED,
    ROOM_S,
    Verdict,
    check_certificates,
    choose,
    committed_rounds,
    given_up,
    judge,
    quorum_missed,
    waits_for_room,
)
from mediswarm.spec.outcome import state_of

log = logging.getLogger(__name__)

_FOR_GOOD = frozenset({"MS-S002", "MS-S003", "MS-S004"})
"""Session errors that another try would meet again; all others are waited out."""

_STOPPING = "the server is ending it"

STOP_S = 60.0
"""How long an aborted run's sites are watched for what still runs there."""


class Supervisor:
    """Drives the runs of one state directory at one server.

    Args:
        state: the runs.
        files: the state directory.
        server: the federation's server.
        build: makes the NVFlare job of a segment.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        state: RunState,
        files: OperatorFiles,
        server: FederationServer,
        build: BuildJob,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state, self.files, self.server, self.build, self.clock = state, files, server, build, clock

    def step(self, run_id: str) -> None:
        """Bring a run as far as it can go now; its errors are written down, not raised.

        Raises:
            HostError: MS-H004 when nothing can be written down here, because the disk is full.
        """
        run = self.state.run(run_id)
        if run.finished:
            return
        try:
            self._advance(run)
        except SessionError as error:
            if error.code in _FOR_GOOD:
                self._end(run, error)
            elif run.note != error.message:
                log.warning("run %s waits: %s", run.id, error)
                # nobody's fault but the network's: the sites' time to connect begins anew
                self.state.set_run(run.id, note=error.message, waiting_since=None)
        except MediSwarmError as error:
            if error.code == "MS-H004":
                raise
            self._end(run, error)
        except OSError as error:
            named = disk_error(error, self.files.state_dir)
            if named.code == "MS-H004":
                raise named from error
            self._end(run, named)

    def _advance(self, run: Run) -> None:
        segment = self.state.open_segment(run.id)
        if segment is None:
            self._border(run)
        elif segment.state == "prepared":
            self._submit(run, segment)
        elif segment.state == "submitted":
            self._follow(run, segment)
        else:
            self._collect(run, segment)

    def _border(self, run: Run) -> None:
        """Between two segments: end, wait for sites, or begin the next one with those that are there."""
        if run.wanted == "abort":
            self._end(run, RunFailed("MS-R007", "the run was stopped"))
            return
        job, record = self.files.job(run.id, run.job), self.files.record(run.id)
        connected = {site.name for site in self.server.sites() if site.alive}
        took_part = set(record.get("participants", {}))
        choice = choose(job, connected, run.roster, self.server.roster(), took_part)
        if not choice.enough:
            self._wait(run, choice.waits_for)
            began = self.state.run(run.id).waiting_since or self.clock()
            if self.clock() - began > job.workflow.round_budget:
                self._end(run, quorum_missed(choice, job.workflow.round_budget, bool(took_part)))
            return
        if self._waits_for_room(run, job.workflow.round_budget):
            return
        done = committed_rounds(self.files.known_events(run.id))
        seconds = [entry["seconds"] for entry in record.get("rounds", [])]
        check_certificates(job, done, seconds, self.server.expires())
        segment = self.state.begin_segment(run.id, choice.sites, done)
        log.info("run %s: segment %d with %s", run.id, segment.number, ", ".join(choice.sites))
        self._submit(self.state.run(run.id), segment)

    def _waits_for_room(self, run: Run, budget: float) -> bool:
        """Whether nothing is begun now because a site's disk was full just now; given up after `budget`."""
        awaited = waits_for_room(self.state.segments(run.id), run.patient_from)
        if awaited is None:
            return False
        error, since, last = awaited
        if self.clock() - since > budget:
            self._end(run, error)
            return True
        if self.clock() - last > min(ROOM_S, budget):
            return False
        self._wait(run, f"{error.code}: {error.message}")
        return True

    def _wait(self, run: Run, note: str) -> None:
        if run.note != note or run.waiting_since is None:
            log.info("run %s: %s", run.id, note)
            since = run.waiting_since or self.clock()
            self.state.set_run(run.id, state="waiting", note=note, waiting_since=since)

    def _submit(self, run: Run, segment: SegmentEntry) -> None:
        job = self.files.job(run.id, run.job)
        part = Segment(segment.number, job.workflow.segment_rounds, segment.sites)
        folder = self.files.segment_job(run.id, job, part, self.build)
        started = self.server.started()
        job_id = self.server.submit(folder, f"{run.id}.{segment.number}")
        log.info("run %s: segment %d is NVFlare job %s", run.id, segment.number, job_id)
        self.state.set_segment(
            segment, {"note": ""}, state="submitted", job_id=job_id, server_started=started
        )

    def _follow(self, run: Run, segment: SegmentEntry) -> None:
        job_id = segment.job_id or ""
        job = self._job(job_id)
        if job is None:
            self._ended(run, segment, "the server has lost the job")
            return
        if job.finished:
            self._ended(run, segment, job.status.removeprefix("FINISHED:").replace("_", " ").lower())
            return
        started = self.server.started()
        if run.wanted == "abort" and run.note != _STOPPING:
            self.server.abort(job_id)
            self.state.set_run(run.id, state="stopping", note=_STOPPING)
        elif started != segment.server_started:
            # NVFlare 2.9 leaves the jobs of a killed server RUNNING; the sites have given up theirs
            if job.started:
                self.server.abort(job_id)
                self._ended(run, segment, "the server was started anew")
            else:
                self.state.set_segment(segment, server_started=started)
        elif job.started and run.state != "stopping":
            self._watch(run, segment)
        elif not run.note:
            self.state.set_run(run.id, note=f"NVFlare has not begun segment {segment.number} yet")

    def _watch(self, run: Run, segment: SegmentEntry) -> None:
        known = self.files.known_events(run.id)
        events, record = self.server.events(segment.job_id or "", len(known))
        if events:
            self.files.add_events(run.id, events, record)
            self.state.set_segment(segment, {"note": ""}, **_rounds(segment, [*known, *events]))
        elif run.note:
            self.state.set_run(run.id, note="")

    def _ended(self, run: Run, segment: SegmentEntry, outcome: str) -> None:
        log.info("run %s: segment %d ended: %s", run.id, segment.number, outcome)
        ended = datetime.fromtimestamp(self.clock(), timezone.utc).isoformat(timespec="milliseconds")
        self.state.set_segment(segment, state="ended", outcome=outcome, ended=ended)
        self._collect(run, self.state.segments(run.id)[-1])

    def _collect(self, run: Run, segment: SegmentEntry) -> None:
        """Fetch what an ended segment left, and decide how the run goes on."""
        job_id = segment.job_id or ""
        job = self._job(job_id)
        if run.wanted == "abort" and self._runs_still(run, segment):
            return
        self.files.transfer.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.files.transfer) as folder:
            left = self.server.download(job_id, Path(folder)) if job and job.finished else None
            same_server = self.server.started() == segment.server_started
            if left is not None:
                self.files.take(run.id, left)
        record = self.files.record(run.id)
        verdict = judge(segment, job, record if left else None, run.wanted, same_server)
        rounds = _rounds(segment, self.files.known_events(run.id))
        error = verdict.error.as_dict() if verdict.error else None
        paused = left is not None and verdict == Verdict()
        outcome = PAUSED if paused else segment.outcome
        after = {"state": verdict.state, "error": error, "note": ""}
        if verdict.state is None:
            after = {"state": "waiting", "note": "between segments", "waiting_since": None}
        elif verdict.error is not None and record.get("state") != verdict.state:
            self.files.note_end(run.id, verdict.error)
        self.state.set_segment(segment, after, state="collected", error=error, outcome=outcome, **rounds)
        log.info("run %s: %s", run.id, verdict.state or "goes on")
        self.files.forget_segment(run.id, segment.number)
        if verdict.state is not None:
            self.files.forget_segments(run.id)
        fruitless = given_up(self.state.segments(run.id), run.patient_from)
        if verdict.state is None and fruitless is not None:
            self._end(run, fruitless)

    def _runs_still(self, run: Run, segment: SegmentEntry) -> bool:
        """Whether an aborted segment still runs somewhere (R19); given up after :data:`STOP_S`."""
        if run.waiting_since is None:
            self.state.set_run(run.id, waiting_since=self.clock())
        busy = [site.name for site in self.server.sites() if segment.job_id in site.jobs]
        since = self.state.run(run.id).waiting_since or self.clock()
        if busy and self.clock() - since < STOP_S:
            self.state.set_run(run.id, state="stopping", note=f"waiting for {', '.join(busy)} to stop")
            return True
        if busy:
            log.error("run %s: still running at %s", run.id, ", ".join(busy))
        return False

    def _job(self, job_id: str) -> SegmentJob | None:
        try:
            return self.server.job(job_id)
        except SessionError as error:
            if error.code == "MS-S005":
                return None
            raise

    def _end(self, run: Run, error: MediSwarmError) -> None:
        log.error("run %s: %s", run.id, error)
        self.files.note_end(run.id, error)
        self.state.set_run(run.id, state=state_of(error), error=error.as_dict(), note="", waiting_since=None)
        self.files.forget_segments(run.id)


def _rounds(segment: SegmentEntry, events: list[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of a segment as it says itself: where it began may lie before what was last heard of."""
    starts = [event for event in events if event["event"] == "start"]
    began = [event["first_round"] for event in starts if event["segment"] == segment.number]
    first = began[-1] if began else segment.first_round
    return {"first_round": first, "committed": committed_rounds(events)}
