"""What an image says is in it: components, bill of materials, licences."""

from __future__ import annotations

from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

from mediswarm.provision.installed import Component, debian_packages, licence_of, python_packages
from mediswarm.provision.licences import licence_findings
from mediswarm.provision.sbom import bill_of_materials


def _metadata(**fields: str | list[str]) -> Any:
    message = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return cast("Any", message)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT", "License": "other"}, "MIT"),
        (
            {"Classifier": ["License :: OSI Approved", "License :: OSI Approved :: MIT License"]},
            "MIT License",
        ),
        ({"License": "BSD 3-Clause\n\nRedistribution and use ..."}, "BSD 3-Clause"),
        ({"License": "x" * 500}, "x" * 80),
        ({}, ""),
    ],
)
def test_licence_comes_from_the_most_exact_field(fields: dict[str, Any], licence: str) -> None:
    assert licence_of(_metadata(**fields)) == licence


@pytest.mark.parametrize(
    ("licence", "status"),
    [
        ("MIT", "PASS"),
        ("Apache-2.0 AND BSD-3-Clause", "PASS"),
        ("GPL-3.0-only", "FAIL"),
        ("MIT AND AGPL-3.0", "FAIL"),
        ("GNU General Public License v3 (GPLv3)", "FAIL"),
        ("GNU Affero General Public License v3", "FAIL"),
        ("GPLv2", "FAIL"),
        ("GPL-2.0-or-later OR MIT", "PASS"),
        ("GPL-3.0-only WITH GCC-exception-3.1", "WARN"),
        ("GPL-3.0-only WITH GCC-exception-3.1 AND AGPL-3.0", "FAIL"),
        ("LGPL-2.1", "WARN"),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", "WARN"),
        ("LGPL-2.1 AND GPL-3.0", "FAIL"),
        ("MPL-2.0", "WARN"),
        ("NVIDIA Proprietary Software", "WARN"),
        ("", "WARN"),
    ],
)
def test_licences_are_judged_by_what_they_ask_for(licence: str, status: str) -> None:
    findings = licence_findings([Component("python", "package", "1", licence)])
    assert [finding.status for finding in findings[1:]] == ([] if status == "PASS" else [status])


def test_system_packages_are_listed_but_not_judged() -> None:
    assert [finding.status for finding in licence_findings([Component("debian", "bash", "5", "GPL-3+")])] == [
        "PASS"
    ]


def test_python_packages_are_those_that_can_be_imported() -> None:
    found = {component.name: component for component in python_packages()}
    assert found["nvflare"].version == "2.9.0"
    assert "BSD" in found["numpy"].licence


def test_debian_packages_are_those_installed(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Package: bash\nStatus: install ok installed\nVersion: 5.2\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    (tmp_path / "doc" / "bash").mkdir(parents=True)
    (tmp_path / "doc" / "bash" / "copyright").write_text(
        "License: GPL-3+\n text\n\nLicense: MIT\n\nLicense: MIT\n"
    )
    assert debian_packages(status, tmp_path / "doc") == [Component("debian", "bash", "5.2", "GPL-3+ AND MIT")]
    assert debian_packages(tmp_path / "none", tmp_path) == []


def test_bill_of_materials_names_every_component_once() -> None:
    document = bill_of_materials(
        [
            Component("python", "torch", "2.13.0+cpu", "BSD-3-Clause"),
            Component("debian", "libc6", "2.36-9+deb12u1", ""),
            Component("python", "mediswarm", "0.1.0", "MIT"),
        ]
    )
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert document["metadata"]["component"]["name"] == "mediswarm"
    assert [entry["purl"] for entry in document["components"]] == [
        "pkg:pypi/torch@2.13.0%2Bcpu",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1",
    ]
    assert document["components"][0]["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]
    assert "licenses" not in document["components"][1]
