"""`mediswarm preflight` and `mediswarm node`: boards, errors and exit codes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_site_without_a_server_fails_by_name(
    mediswarm: Callable[..., Any], make_kit: Callable[..., Path], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    kit = make_kit(port=port)
    ended = mediswarm("preflight", "--kit", kit, "--scratch", tmp_path / "scratch", "--json")
    assert ended.code == 10
    found = {finding["subject"]: (finding["status"], finding["code"]) for finding in ended.json["findings"]}
    assert found["startup kit"] == found["certificate"] == found["name"] == ("PASS", None)
    assert found["port"] == ("FAIL", "MS-N002")
    assert "one epoch" not in found


def test_with_a_job_its_data_and_an_epoch_are_tried(
    mediswarm: Callable[..., Any], make_kit: Callable[..., Path], tmp_path: Path
) -> None:
    kit = make_kit("site-1", "server")
    ended = mediswarm(
        "preflight", "--kit", kit, "--scratch", tmp_path / "s", "--job", "minimal_training_pytorch_cnn"
    )
    assert ended.code == 0
    assert "PASS  data " in ended.out
    assert "PASS  one epoch " in ended.out


def test_what_is_no_kit_is_a_fail_and_no_node(mediswarm: Callable[..., Any], tmp_path: Path) -> None:
    ended = mediswarm("preflight", "--kit", tmp_path, "--scratch", tmp_path / "scratch")
    assert ended.code == 10
    assert "[MS-K001]" in ended.out
    ended = mediswarm("node", "run", "--kit", tmp_path, "--scratch", tmp_path / "scratch")
    assert (ended.code, ended.err[:14]) == (12, "error[MS-K001]")


def test_an_admins_kit_is_no_node(
    mediswarm: Callable[..., Any], make_kit: Callable[..., Path], tmp_path: Path
) -> None:
    kit = make_kit("admin@example.org", "admin")
    ended = mediswarm("node", "run", "--kit", kit, "--scratch", tmp_path / "scratch")
    assert (ended.code, ended.err[:14]) == (12, "error[MS-K026]")


def test_where_no_node_was_started(mediswarm: Callable[..., Any], tmp_path: Path) -> None:
    for command in ("health", "status"):
        ended = mediswarm("node", command, "--scratch", tmp_path)
        assert (ended.code, ended.err[:14]) == (14, "error[MS-N009]")
