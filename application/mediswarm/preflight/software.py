"""Are Python and the packages those that MediSwarm was made for?"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from mediswarm.data.findings import Finding
from mediswarm.errors import HostError

_NAMED = ("mediswarm", "nvflare", "torch", "monai")


def check_software() -> Finding:
    """Every package that MediSwarm requires is there, in a version that it allows."""
    wrong = mismatches(requires("mediswarm") or [])
    if wrong:
        return Finding.of(HostError("MS-H010", "; ".join(wrong)), "software")
    named = ", ".join(f"{package} {version(package)}" for package in _NAMED)
    return Finding.passed("software", f"Python {platform.python_version()}, {named}")


def mismatches(requirements: Iterable[str]) -> list[str]:
    """What is wrong with each requirement (PEP 508) that is not met here; extras are left out."""
    wrong = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    return wrong
