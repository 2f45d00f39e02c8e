"""Is this machine fit to take part?"""

from __future__ import annotations

from pathlib import Path

from mediswarm.data.findings import Finding
from mediswarm.preflight.clock import check_clock
from mediswarm.preflight.device import check_device
from mediswarm.preflight.memory import check_memory, check_processors, check_shared_memory
from mediswarm.preflight.scratch import check_scratch
from mediswarm.preflight.software import check_software


def check_host(scratch: Path) -> list[Finding]:
    """Every check of the machine, in the order in which a reader would mend things.

    Args:
        scratch: where caches, temporary files and run directories would go.
    """
    return [
        check_software(),
        check_device(),
        check_processors(),
        check_memory(),
        check_shared_memory(),
        *check_scratch(scratch),
        check_clock(scratch),
    ]
