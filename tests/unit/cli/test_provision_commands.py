"""`mediswarm provision` and `mediswarm kit` as an operator and a site type them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCUMENT: dict[str, Any] = {
    "name": "demo",
    "server": {"name": "server.example.org", "organisation": "example"},
    "sites": [
        {"name": "hospital-a", "organisation": "hospital_a"},
        {"name": "hospital-b", "organisation": "hospital_b", "own_key": True},
    ],
    "admins": [{"name": "operator@example.org", "organisation": "example"}],
    "images": {"sites": "mediswarm/cifar10:0.1.0"},
}


@pytest.fixture
def run(mediswarm: Any, tmp_path: Path) -> Any:
    """Run `mediswarm` in a directory that holds only federation.yml."""
    (tmp_path / "federation.yml").write_text(yaml.safe_dump(DOCUMENT), encoding="utf-8")
    return mediswarm


def test_from_the_file_to_kits_of_both_kinds(run: Any, tmp_path: Path) -> None:
    first = run("provision", "federation.yml")
    assert first.code == 0, first.err
    assert "waiting" in first.out
    assert (tmp_path / "provisioned/demo/kits/hospital-a/kit.json").is_file()

    request = run("kit", "request", "--name", "hospital-b", "--organisation", "hospital_b", "--json").json
    approved = run("provision", "federation.yml", "--approve", request["request"], "--json")
    said = approved.json
    assert said["participants"]["hospital-b"] == "new"
    assert said["approved"] == {"hospital-b": request["fingerprint"]}

    archive = "provisioned/demo/kits/hospital-b.tar.gz"
    completed = run("kit", "complete", archive, "--key", "hospital-b.key", "--out", "here")
    assert completed.code == 0, completed.err
    shown = run("kit", "show", "here/hospital-b")
    assert shown.code == 0, shown.err
    assert said["generation"] in shown.out


def test_listing_kits_and_their_ends(run: Any, tmp_path: Path) -> None:
    short = DOCUMENT | {"validity": {"participant_days": 30}}
    (tmp_path / "federation.yml").write_text(yaml.safe_dump(short), encoding="utf-8")
    run("provision", "federation.yml", "--out", "out")

    listed = run("kit", "list", "out", "--json")

    assert listed.code == 0, "what ends soon still works"
    rows = {row["name"]: row for row in listed.json}
    assert rows["hospital-a"]["state"] == "expires soon"
    assert rows["hospital-a"]["days_left"] == 29
    assert "expires soon" in run("kit", "list", "out").out


def test_an_expired_kit_gives_a_failure(run: Any, tmp_path: Path) -> None:
    run("provision", "federation.yml", "--out", "out")
    manifest = tmp_path / "out/kits/hospital-a/kit.json"
    kit = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps(kit | {"expires": "2020-01-01T00:00:00Z"}), encoding="utf-8")

    listed = run("kit", "list", "out")

    assert listed.code == 12
    assert "error[MS-K003]" in listed.err
    assert "hospital-a" in listed.err


def test_a_removed_site_is_warned_of(run: Any, tmp_path: Path) -> None:
    run("provision", "federation.yml")
    fewer = DOCUMENT | {"sites": [{"name": "hospital-c", "organisation": "hospital_c"}]}
    (tmp_path / "federation.yml").write_text(yaml.safe_dump(fewer), encoding="utf-8")

    done = run("provision", "federation.yml")

    assert done.code == 0
    assert "nvflare system disable-client hospital-a" in done.err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("provision", "none.yml"), 11, "MS-F001"),
        (("provision", "federation.yml", "--renew", "hospital-z"), 11, "MS-F013"),
        (("provision", "federation.yml", "--approve", "federation.yml"), 11, "MS-F014"),
        (("provision", "federation.yml", "--out", "federation.yml/out"), 11, "MS-F015"),
        (("kit", "list", "."), 12, "MS-K001"),
        (("kit", "show", "."), 12, "MS-K001"),
        (("kit", "complete", "federation.yml", "--key", "federation.yml"), 12, "MS-K005"),
    ],
)
def test_errors_have_a_code_and_no_traceback(
    run: Any, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    done = run(*arguments)

    assert done.code == exit_code
    assert f"error[{code}]" in done.err
