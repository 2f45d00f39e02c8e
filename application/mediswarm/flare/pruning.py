"""What runs that are over leave on the disk of a site or server, and what of it is removed (R21).

Kept in full are the ten runs and the ten NVFlare jobs that were written to last, all that was written to
within a week, and all that is at work; also every run that has not ended (a server knows; a site, which is
not told, by its predictions), unless nothing was written of it for 90 days. Of other runs stays what is
small or lies nowhere else: the record, predictions, the site's personal model and, at a site that took part
to the end, the best model, which in a swarm only sites hold.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mediswarm.flare.node_state import RUNS, read_json

KEPT = 10
SILENT_S = 7 * 24 * 3600.0
GIVEN_UP_S = 90 * 24 * 3600.0
"""A run whose record does not say that it has ended was given up when it was silent for so long."""
_TRANSFER_S = 24 * 3600.0
"""A download of the server's that was begun so long ago is not under way any more."""
_SEGMENT = re.compile(r"(?P<run>.+)-(?P<number>[0-9]+)")


def prune(workspace: Path, at_work: str) -> list[str]:
    """Remove what is not needed any more from a node's NVFlare workspace.

    Args:
        workspace: NVFlare's; holds runs/, a folder for each job, and on a server jobs-storage/.
        at_work: text with the ids of the NVFlare jobs that run now.

    Returns:
        what was removed, a line for each run or job.
    """
    jobs = [file.parent for file in workspace.glob("*/meta.json")]
    over = [folder for folder in _old(jobs) if folder.name not in at_work]
    busy = {_segment(folder / "meta.json")[0] for folder in jobs if folder not in over}
    runs = [folder for folder in (workspace / RUNS).glob("*") if folder.is_dir()]
    former = [folder for folder in _old(runs) if folder.name not in busy and _may_go(folder)]
    said = [_remove(f"NVFlare job {folder.name}", [folder]) for folder in over]
    for folder in former:
        bulky = _bulky(folder)
        said.append(_remove(f"{', '.join(sorted(part.name for part in bulky))} of run {folder.name}", bulky))
    said += _archives(workspace, {folder.name for folder in former})
    late = [folder for folder in (workspace / "transfer").glob("*") if _silent(folder) > _TRANSFER_S]
    said.append(_remove("NVFlare's downloads that were broken off", late))
    return [line for line in said if line]


def _archives(workspace: Path, former: set[str]) -> list[str]:
    """Of what the server's job store keeps for the operator, remove what the operator has.

    A supervisor submits a segment when it has fetched the one before it: only the last one of a run may
    still be waited for. The job itself, with its status, stays.
    """
    segments: dict[str, dict[int, Path]] = defaultdict(dict)
    for meta in (workspace / "jobs-storage").glob("*/meta"):
        run, number = _segment(meta)
        if run and (workspace / RUNS / run).is_dir():  # else it is no job of ours
            segments[run][number] = meta.with_name("workspace")
    said = []
    for run, archives in sorted(segments.items()):
        last = max(archives)
        fetched = [
            number
            for number in sorted(archives)
            if archives[number].is_file() and (number != last or run in former)
        ]
        which = f"segment{'s' * (len(fetched) > 1)} {', '.join(map(str, fetched))}"
        said.append(_remove(f"results of {which} of run {run}", [archives[number] for number in fetched]))
    return said


def _segment(meta: Path) -> tuple[str, int]:
    """The run and the number of the segment that an NVFlare job is; an empty name for any other job."""
    found = _SEGMENT.fullmatch(str(read_json(meta).get("name", "")))
    return (found["run"], int(found["number"])) if found else ("", 0)


def _may_go(run: Path) -> bool:
    """Whether the run has ended, or was given up: in a swarm its last model may be at this site alone."""
    record = run / "run.json"
    ended = read_json(record).get("state", "running") != "running" if record.is_file() else _was_judged(run)
    return ended or _silent(run) > GIVEN_UP_S


def _was_judged(run: Path) -> bool:
    """Whether the site took part to the end: its cases are predicted by the best model, when all is done."""
    return (run / "predictions" / "validation.csv").is_file()


def _bulky(run: Path) -> list[Path]:
    kept = {"predictions", "personal"}
    if _was_judged(run):
        kept.add("best")
    folders = [entry for entry in run.iterdir() if entry.is_dir() and entry.name not in kept]
    return folders if len(folders) < len(list(run.iterdir())) else [run]


def _old(folders: Iterable[Path]) -> list[Path]:
    """Those that are neither among the newest nor were written to lately."""
    silent = {folder: _silent(folder) for folder in folders}
    newest_first = sorted(silent, key=lambda folder: (silent[folder], folder.name))
    return [folder for folder in newest_first[KEPT:] if silent[folder] > SILENT_S]


def _silent(place: Path) -> float:
    """Seconds since a file in `place` was written; where there is none, since the folder was changed."""
    written = []
    for file in place.rglob("*"):
        with contextlib.suppress(OSError):  # it was removed meanwhile
            if not file.is_dir():  # a folder also changes when something in it is removed
                written.append(file.lstat().st_mtime)
    if not written:
        with contextlib.suppress(OSError):
            written.append(place.lstat().st_mtime)
    return time.time() - max(written, default=0.0)


def _remove(what: str, places: list[Path]) -> str:
    """Remove files and folders; gives what to say of it, nothing where nothing was there to remove."""
    before = sum(map(_bytes, places))
    for place in places:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    if not places:
        return ""
    done = "could not remove all of" if any(place.exists() for place in places) else "removed"
    return f"{done} {what}, {before / 1e6:.1f} MB"


def _bytes(place: Path) -> int:
    total = 0
    for file in [place, *place.rglob("*")]:
        with contextlib.suppress(OSError):
            total += file.lstat().st_size if not file.is_dir() else 0
    return total
