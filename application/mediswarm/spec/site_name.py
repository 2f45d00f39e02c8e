"""Which names a site can have: the same rule wherever a site is named."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mediswarm.errors import UsageError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
RESERVED = ("server", "simulate_job")
"""Names NVFlare gives to folders and a participant of its own."""


def site_name_problem(name: str) -> str | None:
    """Why `name` cannot be a site's name, as the end of a sentence; None if it can.

    Names become folders of a run and identities in NVFlare.
    """
    if name in RESERVED:
        return "cannot be a site's name: NVFlare uses it itself"
    return None if _NAME.fullmatch(name) else "cannot be a site's name"


def require_site_name(name: str) -> None:
    """Raises UsageError MS-U005 for a name that no site can have."""
    problem = site_name_problem(name)
    if problem is not None:
        repair = "Rename the site." if name in RESERVED else None
        raise UsageError("MS-U005", f"{name[:60]!r} {problem}", repair=repair)


def require_site_names(names: Sequence[str]) -> None:
    """Raises UsageError MS-U005 for a name that cannot be, or that stands twice."""
    for name in names:
        require_site_name(name)
    if len(set(names)) < len(names):
        raise UsageError("MS-U005", "two sites have one name", repair="Name each site once.")
