"""What a site, not the job, decides: its data and scratch directories, its device, the jobs it accepts.

And on a server, where its weights store is. These come from the environment of the process (the
container sets them). None of them changes what is trained.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mediswarm.errors import UsageError

if TYPE_CHECKING:  # pipelines import torch, which a node that only starts NVFlare need not wait for
    from mediswarm.pipelines.base import Site

DATA_DIR, SCRATCH_DIR, DEVICE = "MEDISWARM_DATA_DIR", "MEDISWARM_SCRATCH_DIR", "MEDISWARM_DEVICE"
IMAGE, ACCEPT_JOBS = "MEDISWARM_IMAGE", "MEDISWARM_ACCEPT_JOBS"
WEIGHTS_DIR = "MEDISWARM_WEIGHTS_DIR"


def site_from_environment(name: str) -> Site:
    """The site as its environment describes it."""
    from mediswarm.pipelines.base import Site

    data, scratch = os.environ.get(DATA_DIR), os.environ.get(SCRATCH_DIR)
    return Site(
        name=name,
        data_dir=Path(data) if data else None,
        scratch_dir=Path(scratch) if scratch else None,
        device=os.environ.get(DEVICE, "cpu"),
    )


def image_that_runs() -> str:
    """The container image this process runs in, as docker.sh named it; empty outside of one."""
    return os.environ.get(IMAGE, "")


def weights_store() -> Path | None:
    """The folder of the weights store that the environment names, or None for the account's own."""
    given = os.environ.get(WEIGHTS_DIR)
    return Path(given) if given else None


def accepted_jobs() -> list[str]:
    """The hashes of the jobs that this site accepts; none are named where it accepts any.

    Raises:
        UsageError: MS-U004 for what is no hash.
    """
    accepted = [entry.strip() for entry in os.environ.get(ACCEPT_JOBS, "").split(",") if entry.strip()]
    for entry in accepted:
        if not re.fullmatch(r"[0-9a-f]{64}", entry):
            raise UsageError(
                "MS-U004",
                f"{ACCEPT_JOBS} holds {entry!r}, which is no job's hash",
                repair="Give hashes as `mediswarm job show` prints them, with commas between.",
            )
    return accepted


def environment_of(data_dir: Path | None, scratch_dir: Path | None, device: str) -> dict[str, str]:
    """The environment that :func:`site_from_environment` reads."""
    values = {DATA_DIR: data_dir, SCRATCH_DIR: scratch_dir, DEVICE: device}
    return {key: str(value) for key, value in values.items() if value is not None}
