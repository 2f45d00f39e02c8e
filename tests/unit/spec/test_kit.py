"""A startup kit's files, as its manifest has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mediswarm.errors import KitError
from mediswarm.spec.kit import verify_kit

UNREADABLE = Path("/proc/self/mem")
"""A file that cannot be read from its beginning, not even by root."""


def test_a_file_that_cannot_be_read_is_named(make_kit: Callable[..., Path]) -> None:
    kit = make_kit()
    (kit / "startup" / "client.key").unlink()
    (kit / "startup" / "client.key").symlink_to(UNREADABLE)
    with pytest.raises(KitError) as raised:
        verify_kit(kit)
    assert (raised.value.code, raised.value.file) == ("MS-K024", str(kit / "startup" / "client.key"))
    assert "cannot be read" in raised.value.message
