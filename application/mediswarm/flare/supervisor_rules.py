"""What the supervisor decides, as functions of what it knows: who takes part, what comes after a segment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from mediswarm.errors import (
    HostError,
    KitError,
    MediSwarmError,
    RunCrashed,
    RunFailed,
    SessionError,
    error_from_dict,
)
from mediswarm.flare.federation_server import SegmentJob, says_full
from mediswarm.flare.run_state import SegmentEntry
from mediswarm.spec import Job
from mediswarm.spec.certificate import when
from mediswarm.spec.outcome import state_of
from mediswarm.spec.workflow import required

FRUITLESS = 3
"""After how many segments in a row that committed nothing a run is given up."""

INFRASTRUCTURE = frozenset({"MS-R005", "MS-R006", "MS-R008", "MS-H004"})
"""Ends of a segment that lie in processes, machines and networks: the run goes on from what is committed."""

PAUSED = "paused"

ROOM_S = 60.0
"""How long a run waits before it tries again where a disk was full."""


@dataclass(frozen=True)
class Choice:
    """Who takes part in the next segment.

    Args:
        sites: all that are there; late joiners and returned sites among them.
        missing: expected sites that are not there.
        expected: how many are expected.
        needed: how many there must be.
        enough: whether the segment can begin.
    """

    sites: tuple[str, ...]
    missing: tuple[str, ...]
    expected: int
    needed: int
    enough: bool

    @property
    def waits_for(self) -> str:
        """What is missing, in words."""
        names = ", ".join(self.missing) or "any site"
        there = self.expected - len(self.missing)
        return f"waiting for {names}: {there} of {self.expected} sites are connected, {self.needed} needed"


def choose(
    job: Job,
    connected: set[str],
    roster: tuple[str, ...] | None,
    federation: tuple[str, ...],
    took_part: set[str],
) -> Choice:
    """Who takes part next, by the quorums of the job.

    Before the first committed start, the start quorum counts the run's roster. Later
    the round quorum counts those who took part so far: a site that joins late raises
    it from the segment after its first. Who is there always takes part.

    Args:
        job: what is run.
        connected: sites that answer.
        roster: the sites named at submission; None for all.
        federation: all sites that the operator's kit knows of.
        took_part: participants in the run's record; empty before the start.
    """
    allowed = connected if roster is None else connected & set(roster)
    if took_part:
        expected = took_part if roster is None else took_part & set(roster)
        quorum = job.workflow.round_quorum
    else:
        expected = set(roster or federation or connected)
        quorum = job.workflow.start_quorum
    needed = required(quorum, len(expected))
    # all means those; a number is met by any
    there = len(expected & connected) if quorum == "all" else len(allowed)
    enough = bool(allowed) and there >= needed
    missing = tuple(sorted(expected - connected))
    return Choice(tuple(sorted(allowed)), missing, max(len(expected), 1), needed, enough)


def quorum_missed(choice: Choice, budget: float, began: bool) -> RunFailed:
    """The end of a run whose sites did not come within the round budget."""
    what = "the next segment" if began else "the start"
    missing = ", ".join(choice.missing) or "all"
    return RunFailed(
        "MS-R002",
        f"{what} needs {choice.needed} of {choice.expected} sites, and within the round budget of "
        f"{budget:g} s {missing} did not connect",
        repair="Bring the missing sites back, then `mediswarm resume RUN`; or resume it with --sites.",
    )


@dataclass(frozen=True)
class Verdict:
    """What a segment's end means for its run; without a state the run goes on."""

    state: str | None = None
    error: MediSwarmError | None = None


def judge(
    segment: SegmentEntry,
    job: SegmentJob | None,
    record: dict[str, Any] | None,
    wanted: str,
    same_server: bool,
) -> Verdict:
    """What comes after a segment that has ended.

    Args:
        segment: the segment.
        job: its NVFlare job; None when the server has lost it.
        record: the run record that it left; None when it died before it could leave one.
        wanted: what the operator wants.
        same_server: whether the server is still the process that the segment was handed to.
    """
    if record and record["state"] == "succeeded":
        return Verdict("succeeded")
    if wanted == "abort":
        return Verdict("stopped", RunFailed("MS-R007", "the run was stopped"))
    if turned_down := _turned_down(segment, job, record):
        return Verdict("failed", turned_down)
    error = error_from_dict(record["error"]) if record and record["error"] else None
    no_room = _no_room(segment, job, record)
    if no_room is not None or error is None:
        return Verdict(None, no_room)
    # NVFlare aborts the jobs of a server that is shut down in order, and a job one of whose processes
    # was killed at a site; nobody wanted the run to end
    aborted = job is not None and job.status.endswith(":ABORTED")
    if error.code in INFRASTRUCTURE or (error.code == "MS-R007" and not (aborted and same_server)):
        return Verdict(None, error)
    return Verdict(state_of(error), error)


def _turned_down(
    segment: SegmentEntry, job: SegmentJob | None, record: dict[str, Any] | None
) -> MediSwarmError | None:
    """The error of a job that server or sites would not run."""
    changed = [entry for entry in (job.deployed if job else ()) if "signature verification" in entry]
    if changed:  # another submission would run, and nobody would know
        where = f"NVFlare job {segment.job_id} of segment {segment.number}"
        return SessionError("MS-S020", f"{where}: {'; '.join(changed)}")
    refused = refusals(job)
    if refused and not _progressed(segment, record):
        return RunFailed("MS-S016", f"the job was refused: {'; '.join(refused)}")
    return None


def refusals(job: SegmentJob | None) -> list[str]:
    """What sites said that would not take the job; a site that did not answer has refused nothing."""
    return [
        entry.replace("NVFLARE_ERROR: ", "")
        for entry in (job.deployed if job else ())
        if not entry.endswith(": OK")
        and "no reply" not in entry
        and not says_full(entry)
        and not entry.startswith(("num_ok_sites", "failed to deploy", "invalid_clients", "server:"))
    ]


def _no_room(
    segment: SegmentEntry, job: SegmentJob | None, record: dict[str, Any] | None
) -> HostError | None:
    """What a segment died of that sites lacked whose disk was too full to take the job, if it did."""
    said = [entry.partition(": ") for entry in (job.deployed if job else ())]
    sites = [site for site, _, reason in said if site != "server" and says_full(reason)]
    lost = not record or (record["error"] or {}).get("code") in INFRASTRUCTURE
    if not sites or not lost or _progressed(segment, record):
        return None
    return HostError(
        "MS-H004",
        f"the disk is full at {', '.join(sites)}",
        repair="Free space there. The run goes on by itself; if it has ended, `mediswarm resume RUN`.",
    )


def waits_for_room(
    segments: list[SegmentEntry], patient_from: int
) -> tuple[MediSwarmError, float, float] | None:
    """What a run waits for whose last segments died of a full disk.

    Returns:
        the last such error, and when the first and the last of them ended, seconds since 1970; None when
        the last segment ended otherwise.
    """
    ends: list[float] = []
    for entry in reversed(segments):
        if entry.number < patient_from or entry.ended is None or not _died_of_full_disk(entry):
            break
        ends.append(datetime.fromisoformat(entry.ended).timestamp())
    error = segments[-1].error if ends else None
    return (error_from_dict(error), ends[-1], ends[0]) if error else None


def committed_rounds(events: list[dict[str, Any]]) -> int:
    """How many rounds of a run are behind it; a segment's start says which of them were lost."""
    done = 0
    for event in events:
        if event["event"] == "start":
            done = event["first_round"]
        elif event["event"] == "round":
            done = event["round"] + 1
    return done


def given_up(segments: list[SegmentEntry], patient_from: int) -> RunCrashed | None:
    """The end of a run whose last segments all died on the same model; None while there is hope.

    Those that died of a full disk do not count: :func:`waits_for_room` gives them the round budget.
    """
    counted = [entry for entry in segments if entry.number >= patient_from and not _died_of_full_disk(entry)]
    last = counted[-FRUITLESS:]
    if len(last) < FRUITLESS or any(entry.outcome == PAUSED for entry in last):
        return None
    if len({entry.first_round for entry in last}) > 1 or last[-1].committed > last[-1].first_round:
        return None
    why = "; ".join(f"{entry.number}: {_why(entry)}" for entry in last)
    return RunCrashed(
        "MS-S013",
        f"{FRUITLESS} segments in a row committed no round after round {last[-1].first_round} ({why})",
    )


def check_certificates(job: Job, done: int, seconds: list[float], expires: datetime) -> None:
    """Refuse to begin what the certificates would not see the end of.

    They must last for all rounds that remain, at the pace of those that were done; and,
    known pace or not, for one segment in which every round takes its whole budget.

    Args:
        job: what is run.
        done: rounds behind it.
        seconds: how long each of them took.
        expires: when the first certificate ends.

    Raises:
        KitError: MS-S014.
    """
    remaining = job.workflow.rounds - done
    segment = min(remaining, job.workflow.segment_rounds) * job.workflow.round_budget
    pace = sum(seconds) / len(seconds) * remaining if seconds else 0.0
    # a budget may be larger than any date
    needed = min(max(segment, pace), 1e9)
    until = datetime.now(timezone.utc) + timedelta(seconds=needed)
    if expires < until:
        raise KitError(
            "MS-S014",
            f"the first certificate of admin and server ends {when(expires)}, and the {remaining} rounds "
            f"that remain may need them until {when(until)}",
        )


def _progressed(segment: SegmentEntry, record: dict[str, Any] | None) -> bool:
    return record is not None and len(record["rounds"]) > segment.first_round


def _died_of_full_disk(segment: SegmentEntry) -> bool:
    return segment.error is not None and segment.error["code"] == "MS-H004"


def _why(segment: SegmentEntry) -> str:
    return f"{segment.error['code']} {segment.error['message']}" if segment.error else segment.outcome
