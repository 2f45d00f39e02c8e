"""A federation's server without a network, that does with segments what a test says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from mediswarm.errors import MediSwarmError, RunCrashed, SessionError
from mediswarm.flare.federation_server import ConnectedSite, SegmentJob
from mediswarm.flare.segment import Segment
from mediswarm.spec import Job


def build(job: Job, target: Path, run_id: str, segment: Segment) -> Path:
    """As much of an NVFlare job as the server below reads."""
    folder = target / f"{run_id}-{segment.number}"
    folder.mkdir()
    document = {
        "run": run_id,
        "number": segment.number,
        "rounds": segment.rounds,
        "sites": list(segment.sites),
        "total": job.workflow.rounds,
    }
    (folder / "segment.json").write_text(json.dumps(document))
    return folder


@dataclass
class Submitted:
    segment: dict[str, Any]
    status: str = "SUBMITTED"
    deployed: tuple[str, ...] = ()
    left: bool = False


@dataclass
class InMemoryServer:
    """Keeps a run's record as the real server does: across segments."""

    alive: set[str] = field(default_factory=lambda: {"site-1", "site-2", "site-3"})
    known: tuple[str, ...] = ("site-1", "site-2", "site-3")
    jobs: dict[str, Submitted] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    busy: dict[str, tuple[str, ...]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    start: float = 1000.0
    ends: datetime = field(default_factory=lambda: datetime.now(timezone.utc) + timedelta(days=300))
    broken: MediSwarmError | None = None
    aborted: list[str] = field(default_factory=list)

    # what the supervisor asks

    def started(self) -> float:
        self._answer()
        return self.start

    def expires(self) -> datetime:
        self._answer()
        return self.ends

    def roster(self) -> tuple[str, ...]:
        return self.known

    def sites(self) -> list[ConnectedSite]:
        self._answer()
        names = sorted(self.alive | set(self.known))
        return [ConnectedSite(name, name in self.alive, 0.0, self.busy.get(name, ())) for name in names]

    def submit(self, folder: Path, token: str) -> str:
        self._answer()
        if token not in self.tokens:
            self.tokens[token] = f"job-{len(self.jobs)}"
            document = json.loads((folder / "segment.json").read_text())
            self.jobs[self.tokens[token]] = Submitted(document)
        return self.tokens[token]

    def job(self, job_id: str) -> SegmentJob:
        self._answer()
        if job_id not in self.jobs:
            raise SessionError("MS-S005", f"no such job: {job_id}")
        return SegmentJob(self.jobs[job_id].status, self.jobs[job_id].deployed)

    def events(self, job_id: str, after: int) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        self._answer()
        if self.jobs[job_id].status != "RUNNING":
            return [], None
        return self.log[after:], self.record

    def abort(self, job_id: str) -> None:
        self._answer()
        self.aborted.append(job_id)

    def download(self, job_id: str, to: Path) -> Path | None:
        self._answer()
        if not self.jobs[job_id].left:
            return None
        (to / "last").mkdir()
        (to / "last" / "model.json").write_text(json.dumps({"model": self._committed}))
        (to / "run.json").write_text(json.dumps(self.record))
        (to / "contributions.csv").write_text("round,site\n")
        (to / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.log))
        return to

    # what a test makes happen

    def begin(self) -> str:
        """The last segment submitted is handed to the sites and starts."""
        job_id = list(self.jobs)[-1]
        job = self.jobs[job_id]
        assert job.status == "SUBMITTED"
        job.status = "RUNNING"
        first = self._committed
        entry = {"segment": job.segment["number"], "first_round": first, "state": "running"}
        present = [site for site in job.segment["sites"] if site in self.alive]
        self.record.setdefault("segments", []).append(entry | {"sites": present})
        self.record.setdefault("rounds", [])
        participants = self.record.setdefault("participants", {})
        for site in present:
            participants.setdefault(site, {"joined": first})
        self.record |= {"state": "running", "error": None, "best": None}
        self._event("start", segment=job.segment["number"], first_round=first, sites=present)
        return job_id

    def do_rounds(self, count: int) -> None:
        for _ in range(count):
            round_ = self._committed
            self.record["rounds"].append({"round": round_, "seconds": 1.0})
            self._event("round", round=round_)

    def end(self, error: MediSwarmError | None = None, state: str | None = None) -> None:
        """The segment that runs ends in order: with an error, or paused, or as the end of the run."""
        job = list(self.jobs.values())[-1]
        done = self._committed == job.segment["total"]
        state = state or ("crashed" if error else "succeeded" if done else "running")
        self.record |= {"state": state, "error": error.as_dict() if error else None}
        self._event("end" if error or done else "pause")
        job.status = "FINISHED:EXECUTION_EXCEPTION" if error else "FINISHED:COMPLETED"
        job.left = True

    def play(self) -> None:
        """A whole segment without trouble."""
        job = self.jobs[self.begin()]
        self.do_rounds(min(job.segment["rounds"], job.segment["total"] - self._committed))
        self.end()

    def die(self, status: str | None = None) -> None:
        """The server is killed with its job, and started again; `status` is what it finds its job to be."""
        self.start += 100.0
        if status:
            list(self.jobs.values())[-1].status = status

    def lose_round(self) -> None:
        """The last round was announced but not committed."""
        self.record["rounds"].pop()

    @property
    def _committed(self) -> int:
        return len(self.record.get("rounds", []))

    def _event(self, kind: str, **fields: Any) -> None:
        self.log.append({"time": "2026-01-01T00:00:00+00:00", "event": kind, **fields})

    def _answer(self) -> None:
        if self.broken is not None:
            raise self.broken


LOST_SITE = RunCrashed("MS-R006", "round 1: 2 of 3 sites answered; missing: site-3")
