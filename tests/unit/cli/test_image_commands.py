"""`mediswarm image`, as far as it needs no engine."""

from __future__ import annotations

from typing import Any

import pytest


def test_licences_of_this_environment_are_listed_and_none_is_copyleft(mediswarm: Any) -> None:
    shown = mediswarm("image", "licenses", "--json")
    assert shown.code == 0
    assert {"numpy", "torch", "nvflare"} <= {
        entry["name"] for entry in shown.json if entry["kind"] == "python"
    }
    assert "permissive" in mediswarm("image", "licenses").out


def test_bill_of_materials_of_this_environment(mediswarm: Any) -> None:
    document = mediswarm("image", "sbom").json
    assert any(entry["purl"] == "pkg:pypi/nvflare@2.9.0" for entry in document["components"])


@pytest.mark.parametrize(
    "command", [["build", "cifar10"], ["list"], ["licenses", "mediswarm/cifar10:0"], ["sbom", "x"]]
)
def test_without_engine_every_command_says_so(
    mediswarm: Any, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    ended = mediswarm("image", *command)
    assert ended.code == 13
    assert "error[MS-I001]" in ended.err
