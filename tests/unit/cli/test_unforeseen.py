"""Errors that nobody foresaw, as the command line says them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mediswarm.cli.unforeseen import explained
from mediswarm.errors import HostError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/scratch/node.json"), "MS-H004"),
        (MemoryError("while reading"), "MS-H003"),
    ],
)
def test_what_the_machine_lacks_is_said_so(error: Exception, code: str) -> None:
    said = explained(error)
    assert isinstance(said, HostError)
    assert (said.code, str(error) in said.message) == (code, True)


def test_what_is_unknown_names_where_its_traceback_is() -> None:
    said = explained(ValueError("odd"))
    assert (said.code, said.message) == ("MS-R001", "ValueError: odd")
    assert said.file is not None
    assert "ValueError: odd" in Path(said.file).read_text()
    Path(said.file).unlink()
