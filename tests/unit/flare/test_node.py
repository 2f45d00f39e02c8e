"""What a node does about what is wrong with its startup kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mediswarm.flare.node import Node


def test_a_kit_that_cannot_be_read_is_not_tried_again(make_kit: Callable[..., Path], tmp_path: Path) -> None:
    kit, scratch = make_kit(), tmp_path / "scratch"
    scratch.mkdir()
    (kit / "startup" / "client.key").unlink()
    (kit / "startup" / "client.key").symlink_to("/proc/self/mem")  # not even root can read its beginning
    node = Node(kit, scratch, {})
    node._step()
    assert node.error is not None
    assert (node.state, node.error.code) == ("refused", "MS-K024")
