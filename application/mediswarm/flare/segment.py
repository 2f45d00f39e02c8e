"""One NVFlare job of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """What of a run one NVFlare job does: at most `rounds` rounds at `sites`, from the committed model.

    Segments are numbered from 0.
    """

    number: int
    rounds: int
    sites: tuple[str, ...]
