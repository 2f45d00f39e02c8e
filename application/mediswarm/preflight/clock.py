"""Is the clock plausible?

Without asking another machine, which a site's network may not allow, only a
gross error can be seen: a clock that is behind the installed software, or that
differs from the one of the file system. A pass says no more than that.
"""

from __future__ import annotations

import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import mediswarm
from mediswarm.data.findings import Finding
from mediswarm.errors import HostError
from mediswarm.preflight.scratch import nearest_folder

_TOLERATED = 300.0  # seconds, as much as most certificate checks and file servers forgive


def check_clock(scratch: Path) -> Finding:
    """Compare the clock with the age of the software, and with a file written just now (R24).

    Args:
        scratch: a folder whose file system may have a clock of its own; it need not exist yet.
    """
    now, installed = time.time(), Path(mediswarm.__file__).stat().st_mtime
    if now < installed - _TOLERATED:
        behind = f"the clock shows {_when(now)}, but the software was installed {_when(installed)}"
        return Finding.of(HostError("MS-H007", behind), "clock")
    try:
        with tempfile.NamedTemporaryFile(dir=nearest_folder(scratch)) as stream:
            apart = Path(stream.name).stat().st_mtime - time.time()
    except OSError:
        return Finding.passed("clock", f"{_when(now)}; not compared with a file, since none can be written")
    if abs(apart) > _TOLERATED:
        return Finding.of(
            HostError(
                "MS-H007", f"the clock differs by {abs(apart):.0f} s from that of the disk", file=scratch
            ),
            "clock",
        )
    return Finding.passed("clock", f"{_when(now)}, in step with the disk")


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
