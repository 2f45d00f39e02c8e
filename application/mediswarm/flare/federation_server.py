"""What the supervisor asks of a federation's server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from mediswarm.errors import NO_ROOM

# Python finds no temporary directory where /tmp is full
_FULL = re.compile(rf"\[Errno ({'|'.join(map(str, NO_ROOM))})\]|No usable temporary directory")


def says_full(text: str) -> bool:
    """Whether an exception's text, which is all that NVFlare hands on of it, says that a disk is full."""
    return _FULL.search(text) is not None


@dataclass(frozen=True)
class ConnectedSite:
    """A site that is registered with the server.

    Args:
        name: the site.
        alive: whether it answered just now; a killed site stays registered for minutes.
        last_seen: when the server heard of it last, seconds since 1970 on the server's clock.
        jobs: ids of the NVFlare jobs that run there.
    """

    name: str
    alive: bool
    last_seen: float
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentJob:
    """An NVFlare job as the server sees it.

    Args:
        status: NVFlare's word for it.
        deployed: what NVFlare noted for each site when it handed the job out, `SITE: OK` or a reason.
    """

    status: str
    deployed: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing of it will run any more."""
        return self.status.startswith("FINISHED")

    @property
    def started(self) -> bool:
        """Whether it was handed to the sites."""
        return self.status in ("DISPATCHED", "RUNNING")


class FederationServer(Protocol):
    """A server, as an admin sees it. Every call raises SessionError, or KitError where the kit is refused."""

    def started(self) -> float:
        """When the server was started, seconds since 1970 on its clock."""

    def expires(self) -> datetime:
        """When the first of the admin's and the server's certificates ends."""

    def roster(self) -> tuple[str, ...]:
        """The federation's sites, connected or not, as far as the operator knows."""

    def sites(self) -> list[ConnectedSite]:
        """The registered sites, sorted by name."""

    def submit(self, folder: Path, token: str) -> str:
        """Hand in the NVFlare job in `folder`, once for each `token`, and give its id."""

    def job(self, job_id: str) -> SegmentJob:
        """How an NVFlare job stands; raises SessionError MS-S005 when it is unknown."""

    def events(self, job_id: str, after: int) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """The run's events after the first `after`, and its record; empty where the job gives no answer."""

    def abort(self, job_id: str) -> None:
        """Ask for the end of an NVFlare job; nothing happens to one that has ended."""

    def download(self, job_id: str, to: Path) -> Path | None:
        """Fetch what an ended job left of its run into `to`; None where it left nothing."""
