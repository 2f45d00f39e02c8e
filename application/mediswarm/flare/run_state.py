"""The operator's runs and their segments, in one SQLite file that survives the death of any writer."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from typing_extensions import Self

from mediswarm.errors import HostError, SessionError, UsageError
from mediswarm.flare.node_state import FULL_BYTES, disk_error
from mediswarm.spec.outcome import now

SCHEMA = 1
FINAL = ("succeeded", "failed", "crashed", "timed out", "stopped")

Wanted = Literal["run", "abort"]
SegmentState = Literal["prepared", "submitted", "ended", "collected"]

_TABLES = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    job_hash TEXT NOT NULL,
    kit TEXT NOT NULL,
    roster TEXT,
    rounds INTEGER NOT NULL,
    state TEXT NOT NULL,
    wanted TEXT NOT NULL,
    note TEXT NOT NULL,
    waiting_since REAL,
    patient_from INTEGER NOT NULL,
    error TEXT,
    created TEXT NOT NULL,
    updated TEXT NOT NULL
) STRICT;
CREATE TABLE segments (
    run TEXT NOT NULL REFERENCES runs (id),
    number INTEGER NOT NULL,
    sites TEXT NOT NULL,
    state TEXT NOT NULL,
    job_id TEXT,
    server_started REAL,
    first_round INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    started TEXT NOT NULL,
    ended TEXT,
    PRIMARY KEY (run, number)
) STRICT;
"""
_JSON = frozenset({"roster", "error", "sites"})


@dataclass(frozen=True)
class Run:
    """A run as the operator sees it.

    Args:
        id: names the run everywhere.
        job: name of its job.
        job_hash: hash of its job.
        kit: the admin kit it is driven with.
        roster: the sites that may take part; None for all of the federation.
        rounds: how many rounds the job has.
        state: waiting, running, stopping, or one of :data:`FINAL`.
        wanted: whether it shall run or be aborted.
        note: what it waits for, in words; empty if for nothing.
        waiting_since: when the waiting for sites began, seconds since 1970.
        patient_from: number of the segment from which on fruitless segments count.
        error: why it ended, as of :meth:`MediSwarmError.as_dict`.
        created: when it was submitted.
        updated: when anything of this changed.
    """

    id: str
    job: str
    job_hash: str
    kit: str
    roster: tuple[str, ...] | None
    rounds: int
    state: str
    wanted: Wanted
    note: str
    waiting_since: float | None
    patient_from: int
    error: dict[str, Any] | None
    created: str
    updated: str

    @property
    def finished(self) -> bool:
        """Whether nothing happens to it any more, unless it is resumed."""
        return self.state in FINAL


@dataclass(frozen=True)
class SegmentEntry:
    """One NVFlare job of a run.

    Args:
        run: the run's id.
        number: counted from 0.
        sites: who was asked to take part.
        state: prepared (on disk here), submitted, ended (at the server), collected.
        job_id: NVFlare's id, once it is known.
        server_started: when the server that it was handed to was started.
        first_round: the round it goes on from.
        committed: rounds of the run that are behind it.
        outcome: how it ended, in NVFlare's words or ours.
        error: the error it ended with.
        started: when it was prepared.
        ended: when its end was seen.
    """

    run: str
    number: int
    sites: tuple[str, ...]
    state: SegmentState
    job_id: str | None
    server_started: float | None
    first_round: int
    committed: int
    outcome: str
    error: dict[str, Any] | None
    started: str
    ended: str | None


class RunState:
    """The file; several processes may have it open.

    Args:
        file: the SQLite file; made if it is not there.

    Raises:
        HostError: MS-H001 when it cannot be written, MS-H004 (as of every change) when the disk is full.
        SessionError: MS-S015 when it is no such file, or of a later version.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=60.0, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except sqlite3.OperationalError as error:
            code = "MS-H004" if self._is_full(error) else "MS-H001"
            raise HostError(code, f"the state file cannot be written: {error}", file=file) from error
        except sqlite3.DatabaseError as error:
            raise SessionError("MS-S015", f"this is not a state file: {error}", file=file) from error
        except OSError as error:
            raise disk_error(error, file) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add(
        self, run_id: str, job: str, job_hash: str, kit: Path, roster: tuple[str, ...] | None, rounds: int
    ) -> None:
        """Note a new run, waiting for its start."""
        written = now()
        with self._transaction():
            self._db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, 'waiting', 'run', '', NULL, 0, NULL, ?, ?)",
                (run_id, job, job_hash, str(kit), _json(roster), rounds, written, written),
            )

    def run(self, run_id: str) -> Run:
        """A run, by its id or the beginning of one; raises UsageError MS-S010."""
        found = [run for run in self.runs() if run.id.startswith(run_id)]
        exact = [run for run in found if run.id == run_id]
        if exact or len(found) == 1:
            return (exact or found)[0]
        known = "there is more than one such run" if found else "there is no such run"
        raise UsageError("MS-S010", f"{known}: {run_id}", file=self.file)

    def runs(self) -> list[Run]:
        """All runs, the oldest first."""
        return [Run(**_values(row)) for row in self._db.execute("SELECT * FROM runs ORDER BY created, id")]

    def segments(self, run_id: str) -> list[SegmentEntry]:
        """The segments of a run, in order."""
        rows = self._db.execute("SELECT * FROM segments WHERE run = ? ORDER BY number", (run_id,))
        return [SegmentEntry(**_values(row)) for row in rows]

    def open_segment(self, run_id: str) -> SegmentEntry | None:
        """The segment that is under way, if one is."""
        segments = self.segments(run_id)
        return segments[-1] if segments and segments[-1].state != "collected" else None

    def begin_segment(self, run_id: str, sites: tuple[str, ...], first_round: int) -> SegmentEntry:
        """Note that a segment is about to be submitted."""
        with self._transaction():
            (number,) = self._db.execute(
                "SELECT COALESCE(MAX(number), -1) + 1 FROM segments WHERE run = ?", (run_id,)
            ).fetchone()
            self._db.execute(
                "INSERT INTO segments VALUES (?, ?, ?, 'prepared', NULL, NULL, ?, ?, '', NULL, ?, NULL)",
                (run_id, number, _json(sites), first_round, first_round, now()),
            )
            self._change("runs", {"state": "running", "note": "", "waiting_since": None}, "id = ?", (run_id,))
        return self.segments(run_id)[-1]

    def set_run(self, run_id: str, **fields: Any) -> None:
        """Change fields of a run in one step."""
        with self._transaction():
            self._change("runs", fields, "id = ?", (run_id,))

    def resume(self, run_id: str, kit: str, roster: tuple[str, ...] | None) -> None:
        """Let a run go on; segments before this do not count as fruitless any more."""
        fields = {
            "kit": kit,
            "roster": roster,
            "wanted": "run",
            "state": "waiting" if self.run(run_id).finished else self.run(run_id).state,
            "note": "",
            "error": None,
        }
        with self._transaction():
            (number,) = self._db.execute(
                "SELECT COALESCE(MAX(number), -1) + 1 FROM segments WHERE run = ?", (run_id,)
            ).fetchone()
            patient = {"patient_from": number, "waiting_since": None}
            self._change("runs", fields | patient, "id = ?", (run_id,))

    def set_segment(self, segment: SegmentEntry, run: dict[str, Any] | None = None, **fields: Any) -> None:
        """Change fields of a segment, and with `run` of its run, in one step."""
        with self._transaction():
            self._change("segments", fields, "run = ? AND number = ?", (segment.run, segment.number))
            if run:
                self._change("runs", run, "id = ?", (segment.run,))

    def _change(self, table: str, fields: dict[str, Any], where: str, which: tuple[Any, ...]) -> None:
        if table == "runs":
            fields = fields | {"updated": now()}
        names = ", ".join(f"{name} = ?" for name in fields)
        values = [_json(value) if name in _JSON else value for name, value in fields.items()]
        # names of tables and fields are our own words, never a user's
        self._db.execute(f"UPDATE {table} SET {names} WHERE {where}", (*values, *which))  # noqa: S608

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:  # on a full disk SQLite may have gone back by itself
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and self._is_full(error):
                said = f"the state file cannot be written: {error}"
                raise HostError("MS-H004", said, file=self.file) from error
            raise

    def _is_full(self, error: sqlite3.OperationalError) -> bool:
        """SQLite says of a full disk that it is full, or that something is wrong with the disk."""
        return "disk is full" in str(error) or shutil.disk_usage(self.file.parent).free < FULL_BYTES

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                raise SessionError(
                    "MS-S015",
                    f"the state is of version {version}, this program knows {SCHEMA}",
                    file=self.file,
                )
            if version == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA}")


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _values(row: sqlite3.Row) -> dict[str, Any]:
    values = dict(row)
    for name in _JSON & values.keys():
        values[name] = None if values[name] is None else json.loads(values[name])
    for name in {"roster", "sites"} & values.keys():
        values[name] = None if values[name] is None else tuple(values[name])
    return values
