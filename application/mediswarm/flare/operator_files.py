"""The operator's state directory: what a run needs to go on, and what came back from the server.

::

    runs.sqlite        runs and segments
    supervisor.log     what the supervisor did
    jobs/RUN/JOB/      the job as it was submitted
    segments/RUN/N/    the NVFlare jobs made of it
    runs/RUN/          record, events and models, as of the last segment
    transfer/          downloads under way
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mediswarm.errors import MediSwarmError
from mediswarm.flare.segment import Segment
from mediswarm.spec import Job, load_job
from mediswarm.spec.outcome import now, state_of
from mediswarm.spec.whole_file import write_whole

BuildJob = Callable[[Job, Path, str, Segment], Path]


class OperatorFiles:
    """Paths in a state directory, and what is done with them."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.database = state_dir / "runs.sqlite"
        self.log = state_dir / "supervisor.log"
        self.lock = state_dir / "supervisor.lock"
        self.transfer = state_dir / "transfer"

    def run(self, run_id: str) -> Path:
        """The operator's copy of a run."""
        return self.state_dir / "runs" / run_id

    def keep_job(self, run_id: str, job: Job) -> None:
        """Copy a job, so that the run needs nothing else to go on."""
        folder = self.state_dir / "jobs" / run_id / job.name
        for name in ("job.yml", *job.shipped_files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.folder / name, folder / name)

    def job(self, run_id: str, name: str) -> Job:
        """The job of a run."""
        return load_job(self.state_dir / "jobs" / run_id / name)

    def segment_job(self, run_id: str, job: Job, segment: Segment, build: BuildJob) -> Path:
        """The NVFlare job of a segment: built once, so that what is submitted again is the same."""
        folder = self.state_dir / "segments" / run_id / str(segment.number)
        if not folder.is_dir():
            partial = folder.with_name(f".{segment.number}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            build(job, partial, run_id, segment)
            partial.rename(folder)
        (built,) = folder.iterdir()
        return built

    def forget_segment(self, run_id: str, number: int) -> None:
        """Remove the NVFlare job of a segment that is over."""
        shutil.rmtree(self.state_dir / "segments" / run_id / str(number), ignore_errors=True)

    def forget_segments(self, run_id: str) -> None:
        """Remove what a run that has ended needs no more; a run that is resumed has it made again."""
        shutil.rmtree(self.state_dir / "segments" / run_id, ignore_errors=True)

    def forget_downloads(self) -> None:
        """Remove downloads that a killed supervisor left; for the one that has the lock."""
        for left in self.transfer.glob("tmp*"):
            shutil.rmtree(left, ignore_errors=True)

    def known_events(self, run_id: str) -> list[dict[str, Any]]:
        """The run's events that have arrived here."""
        file = self.run(run_id) / "events.jsonl"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def add_events(self, run_id: str, events: list[dict[str, Any]], record: dict[str, Any] | None) -> None:
        """Append events of a segment under way, and keep its present record."""
        folder = self.run(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        if record is not None:
            write_whole(folder / "run.json", json.dumps(record, indent=2) + "\n")
        if events:
            # written whole: a line that a killed writer left half would hide the next one
            lines = [*self.known_events(run_id), *events]
            write_whole(folder / "events.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    def take(self, run_id: str, downloaded: Path) -> None:
        """Put what a segment left in the place of what was here; models are replaced one at a time."""
        folder = self.run(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        for entry in sorted(downloaded.iterdir()):
            target = folder / entry.name
            if entry.is_dir():
                # a rename cannot replace a full directory: the former one is out of the way first
                former = folder / f".{entry.name}.former"
                shutil.rmtree(former, ignore_errors=True)
                if target.is_dir():
                    target.rename(former)
                shutil.move(entry, target)
                shutil.rmtree(former, ignore_errors=True)
            else:
                shutil.move(entry, target)

    def record(self, run_id: str) -> dict[str, Any]:
        """The run record as it is known here; empty before the first segment."""
        file = self.run(run_id) / "run.json"
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return record

    def note_end(self, run_id: str, error: MediSwarmError) -> None:
        """Say in the record how a run ended whose server could not say it."""
        record = self.record(run_id)
        if record:
            end = {"state": state_of(error), "error": error.as_dict(), "finished": now()}
            write_whole(self.run(run_id) / "run.json", json.dumps(record | end, indent=2) + "\n")
