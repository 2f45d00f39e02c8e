"""Federation files: the good one is read, each bad one is named with file, key, rule and repair."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediswarm.errors import FederationError
from mediswarm.spec.federation import load_federation

GOOD: dict[str, Any] = {
    "name": "demo",
    "server": {"name": "server.example.org", "organisation": "example", "port": 8002},
    "sites": [
        {"name": "hospital-a", "organisation": "hospital_a"},
        {"name": "hospital-b", "organisation": "hospital_b", "own_key": True},
    ],
    "admins": [{"name": "operator@example.org", "organisation": "example", "role": "project_admin"}],
    "images": {"sites": "registry.example.org:5000/mediswarm/cifar10:0.1.0"},
}

Change = Callable[[dict[str, Any]], object]


def _written(folder: Path, change: Change = lambda _: None) -> Path:
    document = deepcopy(GOOD)
    change(document)
    file = folder / "federation.yml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return file


def test_the_good_file(tmp_path: Path) -> None:
    federation = load_federation(_written(tmp_path))

    assert federation.site_names == ("hospital-a", "hospital-b")
    assert federation.participants == [
        "server.example.org",
        "hospital-a",
        "hospital-b",
        "operator@example.org",
    ]
    assert federation.server.address.admin_port == 8002, "one port for all, unless another is given"
    assert not any(site.allow_job_code for site in federation.sites), "code needs the site's consent"
    assert (federation.validity.authority_days, federation.validity.participant_days) == (3650, 730)


def test_the_example_that_comes_with_the_project() -> None:
    federation = load_federation(Path(__file__).parents[3] / "application" / "provision" / "demo.yml")

    assert len(federation.sites) == 3


def _set(*path: str | int) -> Callable[[Any], Change]:
    """`_set("server", "port")(0)` is a change that gives the port the value 0."""

    def with_value(value: Any) -> Change:
        def change(document: dict[str, Any]) -> None:
            at: Any = document
            for part in path[:-1]:
                at = at[part]
            at[path[-1]] = value

        return change

    return with_value


def _without(*path: str | int) -> Change:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for part in path[:-1]:
            at = at[part]
        del at[path[-1]]

    return change


SITE = {"name": "hospital-a", "organisation": "x"}

BAD: dict[str, tuple[Change, str, str]] = {
    "unknown key": (_set("sever")({}), "MS-F003", "Did you mean `server`?"),
    "unknown key of a site": (_set("sites", 1, "allow_code")(True), "MS-F003", "`sites.1.allow_code`"),
    "vpn is not there yet": (_set("vpn")({}), "MS-F003", "`vpn`"),
    "no server": (_without("server"), "MS-F004", "`server`"),
    "no organisation": (_without("sites", 0, "organisation"), "MS-F004", "`sites.0.organisation`"),
    "no sites": (_set("sites")([]), "MS-F005", "`sites`"),
    "no admins": (_set("admins")([]), "MS-F005", "`admins`"),
    "sites are a mapping": (_set("sites")({"hospital-a": {}}), "MS-F005", "should be a list"),
    "port 0": (_set("server", "port")(0), "MS-F005", "`server.port`"),
    "port too large": (_set("server", "port")(65536), "MS-F005", "less than 65536"),
    "port as text": (_set("server", "port")("8002"), "MS-F005", "whole number"),
    "server with a scheme": (_set("server", "name")("https://server"), "MS-F005", "without scheme and port"),
    "server with a port": (_set("server", "name")("server:8002"), "MS-F005", "without scheme and port"),
    "server with _": (_set("server", "name")("my_server"), "MS-F005", "DNS name"),
    "server's name too long": (_set("server", "name")("a" * 65), "MS-F005", "at most 64"),
    "site with a space": (_set("sites", 0, "name")("hospital a"), "MS-F005", "cannot be a site's name"),
    "site with a path": (_set("sites", 0, "name")("../a"), "MS-F005", "cannot be a site's name"),
    "site called server": (_set("sites", 0, "name")("server"), "MS-F005", "NVFlare uses it itself"),
    "organisation with -": (_set("sites", 0, "organisation")("a-b"), "MS-F005", "letters, digits and _"),
    "admin without @": (_set("admins", 0, "name")("operator"), "MS-F005", "e-mail address"),
    "unknown role": (_set("admins", 0, "role")("boss"), "MS-F005", "'project_admin'"),
    "nobody may submit": (_set("admins", 0, "role")("member"), "MS-F006", "may submit"),
    "two sites of one name": (_set("sites", 1)(SITE), "MS-F006", "'hospital-a'"),
    "names differ in case": (_set("sites", 1)(SITE | {"name": "Hospital-A"}), "MS-F006", "'Hospital-A'"),
    "image without a tag": (_set("images", "sites")("mediswarm/cifar10"), "MS-F005", "tag or a digest"),
    "digest too short": (_set("images", "sites")("m/c@sha256:abc"), "MS-F005", "64 hex digits"),
    "image with a command": (_set("images", "server")("m/c:1; rm -rf /"), "MS-F005", "name:tag"),
    "the host's network": (_set("network")("host"), "MS-F005", "never shared"),
    "network with a space": (_set("network")("my net"), "MS-F005", "Docker network"),
    "validity 0": (_set("validity")({"participant_days": 0}), "MS-F005", "`validity.participant_days`"),
    "outlives the authority": (_set("validity")({"authority_days": 10}), "MS-F006", "authority_days"),
    "name of the federation": (_set("name")("my federation"), "MS-F005", "letters, digits"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case: str, tmp_path: Path) -> None:
    change, code, words = BAD[case]
    file = _written(tmp_path, change)

    with pytest.raises(FederationError) as caught:
        load_federation(file)

    assert caught.value.code == code
    assert words in caught.value.describe()
    assert caught.value.file == str(file)
    assert caught.value.line is not None


def test_the_line_of_the_fault(tmp_path: Path) -> None:
    file = _written(tmp_path, _set("sites", 1, "name")("a b"))
    line = file.read_text(encoding="utf-8").splitlines().index("- name: a b") + 1

    with pytest.raises(FederationError) as caught:
        load_federation(file)

    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "code"),
    [("name: [", "MS-F002"), ("name: a\nname: b\n", "MS-F007"), ("- a\n", "MS-F005")],
)
def test_what_is_no_federation(text: str, code: str, tmp_path: Path) -> None:
    file = tmp_path / "federation.yml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(FederationError) as caught:
        load_federation(file)

    assert caught.value.code == code


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FederationError) as caught:
        load_federation(tmp_path / "none.yml")

    assert caught.value.code == "MS-F001"
