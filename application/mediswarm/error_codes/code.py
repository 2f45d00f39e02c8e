"""What a code of the table says."""

from __future__ import annotations

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """What went wrong, in a line, and what to do about it."""

    title: str
    resolve: str
