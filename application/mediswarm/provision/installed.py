"""What is installed around this process: Python packages, and Debian's where that is the system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path
from typing import Literal

_DPKG = Path("/var/lib/dpkg/status")
_DOC = Path("/usr/share/doc")
_LONGEST = 80
"""Characters of a licence's name; some packages put its whole text there."""


@dataclass(frozen=True, order=True)
class Component:
    """An installed package and the licence it names; empty where it names none."""

    kind: Literal["python", "debian"]
    name: str
    version: str
    licence: str


def installed_components() -> list[Component]:
    """All of them, sorted by kind and name."""
    return sorted({*python_packages(), *debian_packages()})


def python_packages() -> list[Component]:
    """The packages that this interpreter can import."""
    found = [entry.metadata for entry in distributions()]
    return [
        Component(
            "python", re.sub(r"[-_.]+", "-", about["Name"]).lower(), about["Version"], licence_of(about)
        )
        for about in found
    ]


def licence_of(about: PackageMetadata) -> str:
    """The licence in a package's metadata: its expression, else its classifiers, else its free text."""
    if "License-Expression" in about:
        return about["License-Expression"]
    classifiers = [
        classifier.rsplit(" :: ", 1)[1]
        for classifier in about.get_all("Classifier") or []
        if classifier.startswith("License ::") and not classifier.endswith(":: OSI Approved")
    ]
    if classifiers:
        return " AND ".join(sorted(classifiers))
    text = about["License"].strip() if "License" in about else ""
    return text.partition("\n")[0][:_LONGEST]


def debian_packages(dpkg: Path = _DPKG, doc: Path = _DOC) -> list[Component]:
    """The packages in dpkg's status file; none where there is no such file."""
    if not dpkg.is_file():
        return []
    found = []
    for entry in dpkg.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", entry, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name = fields["Package"]
            found.append(
                Component("debian", name, fields["Version"], _debian_licence(doc / name / "copyright"))
            )
    return found


def _debian_licence(file: Path) -> str:
    """The licences of a machine-readable copyright file, without repeats."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " AND ".join(sorted(set(re.findall(r"^License: *([^\s,]+)", text, re.MULTILINE))))
