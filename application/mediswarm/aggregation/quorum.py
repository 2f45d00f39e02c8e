"""Did enough sites answer, and if not, what does that make of the run?"""

from __future__ import annotations

from mediswarm.aggregation.reasons import in_words
from mediswarm.errors import RunCrashed, RunFailed, RunTimedOut
from mediswarm.spec.workflow import Quorum, required

LOST = frozenset({"MS-R005", "MS-R006", "MS-H004"})
"""Reasons that lie in network and machines: a site that may come back."""


def require_quorum(failed: dict[str, str], sites: list[str], quorum: Quorum, what: str) -> None:
    """Check that enough of `sites` answered.

    Args:
        failed: the code of the reason for every site that did not.
        sites: who was asked.
        quorum: how many must answer.
        what: what was asked, for the message.

    Raises:
        RunTimedOut: MS-R005 when only time was lacking.
        RunCrashed: MS-H004 when only lost sites are missing, one of them for want of room on its disk;
            MS-R006 when only lost sites are missing.
        RunFailed: MS-R002 otherwise.
    """
    answered, needed = len(sites) - len(failed), required(quorum, len(sites))
    if answered >= needed:
        return
    if set(failed.values()) == {"MS-R005"}:
        raise RunTimedOut(
            "MS-R005", f"{what}: no answer within the round budget from {', '.join(sorted(failed))}"
        )
    missing = in_words(failed) or "none"
    message = f"{what}: {answered} of {len(sites)} sites answered, {needed} needed; missing: {missing}"
    if failed and set(failed.values()) <= LOST:
        raise RunCrashed("MS-H004" if "MS-H004" in failed.values() else "MS-R006", message)
    raise RunFailed("MS-R002", message)
