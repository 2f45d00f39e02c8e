"""What a check found: PASS, WARN or FAIL, with a stable code and counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mediswarm.errors import DataError, MediSwarmError

Status = Literal["PASS", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One line of a PASS/WARN/FAIL board.

    `message` holds counts and names of rules, never case ids: it may be shown
    outside the site. `cases` holds the ids concerned, is shown at the site only
    when asked for (``--show-cases``), and never leaves.
    """

    status: Status
    subject: str
    message: str
    code: str | None = None
    repair: str | None = None
    file: str | None = None
    cases: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def passed(cls, subject: str, message: str) -> Finding:
        return cls("PASS", subject, message)

    @classmethod
    def of(cls, error: MediSwarmError, subject: str) -> Finding:
        """The FAIL line for an error."""
        return cls("FAIL", subject, error.message, error.code, error.repair, error.place or None)


def raise_on_failure(findings: list[Finding], file: Path | str | None = None) -> None:
    """Raise the first FAIL of `findings` as a :class:`DataError`, counting the others."""
    failed = [finding for finding in findings if finding.status == "FAIL"]
    if not failed:
        return
    first = failed[0]
    more = f" (and {len(failed) - 1} more failed checks; run `mediswarm check`)" if len(failed) > 1 else ""
    raise DataError(
        first.code or "MS-D001", first.message + more, repair=first.repair, file=first.file or file
    )
