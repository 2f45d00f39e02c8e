"""Licences of what is installed, and which of them ask for more than naming the authors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from mediswarm.data.findings import Finding
from mediswarm.errors import ImageError
from mediswarm.provision.installed import Component

_STRONG = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)
_EXCEPTION = re.compile(r"GPL.*(WITH|exception)", re.IGNORECASE)
_WEAK = re.compile(
    r"LGPL|Lesser General Public|\bMPL|Mozilla Public|\bEPL|Eclipse Public|\bCDDL", re.IGNORECASE
)
_STRONG_COPYLEFT = 3


def licence_findings(components: Iterable[Component]) -> list[Finding]:
    """What is remarkable about the licences of Python packages, and one PASS for all others.

    Strong copyleft (GPL, AGPL) is a FAIL, as it would bind MediSwarm itself; weak copyleft, terms
    of a vendor, and packages that name none are a WARN. System packages are separate programs and not judged.
    """
    python = [component for component in components if component.kind == "python"]
    remarks = [remark for component in python if (remark := _remark(component)) is not None]
    ordinary = len(python) - len(remarks)
    return [
        Finding("PASS", "permissive", f"{ordinary} Python packages ask for no more than naming them"),
        *remarks,
    ]


def licence_list(components: Iterable[Component]) -> list[dict[str, Any]]:
    """One entry for each component, for machines."""
    return [asdict(component) for component in components]


def _remark(component: Component) -> Finding | None:
    rank = _rank(component.licence)
    said = f"{component.version}: {component.licence or 'names no licence'}"
    if rank == _STRONG_COPYLEFT:
        return Finding.of(ImageError("MS-I005", said), component.name)
    if rank == 0:
        return None
    return Finding("WARN", component.name, said, repair="Read its terms before you hand the image on.")


def _rank(licence: str) -> int:
    """0 permissive, 1 unknown or a vendor's terms, 2 weak copyleft, 3 strong; of alternatives the mildest."""
    for word, chosen in ((r"\s+OR\s+", min), (r"\s+AND\s+", max)):
        parts = re.split(word, licence)
        if len(parts) > 1:
            return chosen(_rank(part) for part in parts)
    if _WEAK.search(licence) or _EXCEPTION.search(licence):
        return 2
    if _STRONG.search(licence):
        return _STRONG_COPYLEFT
    return 1 if not licence or re.search(r"proprietary|NVIDIA", licence, re.IGNORECASE) else 0
