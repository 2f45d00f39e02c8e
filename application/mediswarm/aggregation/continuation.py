"""What a later process reads to go on with a run: what was agreed on at its start, and its record."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mediswarm.errors import ArtefactError
from mediswarm.pipelines.counts import Counts
from mediswarm.spec.whole_file import write_whole

STATE_FILE = "state.json"

_WHOLE = ("round", "cases", "steps", "received_bytes", "sent_bytes")
_NUMBERS = ("weight", "loss", "validate_s", "train_s", "metric")


@dataclass(frozen=True)
class Agreement:
    """What the sites of a run agreed on at its start; it holds for all later segments.

    Args:
        job_hash: of the job that the run executes.
        totals: summed statistics of the sites that started it. A site that joins later uses them
            as they are: class weights or scales that changed within a run would change the model.
        contract: the data contract with its measured parts.
        initial: digest of the initial model's trainable parameters (empty in a swarm).
    """

    job_hash: str
    totals: Counts
    contract: dict[str, Any]
    initial: str

    def write(self, folder: Path) -> None:
        """Keep it with the run; from now on the run can be continued."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / STATE_FILE, json.dumps(asdict(self)) + "\n")


def agreement_of(folder: Path, job_hash: str) -> Agreement | None:
    """What was agreed on in the run of this folder; None for a run that has not begun.

    Raises:
        ArtefactError: MS-A004 when the folder holds the run of another job, or cannot be read.
    """
    file = folder / STATE_FILE
    if not file.is_file():
        return None
    try:
        agreement = Agreement(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ArtefactError("MS-A004", "the run's state cannot be read", file=file) from error
    if agreement.job_hash != job_hash:
        raise ArtefactError(
            "MS-A004",
            f"the run's job has hash {agreement.job_hash[:12]}, the one to go on with {job_hash[:12]}",
            file=file,
        )
    return agreement


def written_record(folder: Path) -> dict[str, Any]:
    """The run record on disk.

    Raises:
        ArtefactError: MS-A004 when it is missing or cannot be read.
    """
    file = folder / "run.json"
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError("MS-A004", "the run's record cannot be read", file=file) from error
    return record


def written_contributions(folder: Path) -> list[dict[str, Any]]:
    """The rows of contributions.csv, with numbers as numbers and empty cells as None."""
    with (folder / "contributions.csv").open(newline="", encoding="utf-8") as stream:
        return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(stream)]


def _value(name: str, text: str) -> Any:
    if name in _WHOLE:
        return int(text) if text else None
    if name in _NUMBERS:
        return float(text) if text else None
    return text
