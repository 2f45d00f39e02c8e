"""What a site, not the job, decides: where its data lies, its scratch directory, its device.

These come from the environment of the site's process (the container sets
them). None of them changes what is trained.
"""

from __future__ import annotations

import os
from pathlib import Path

from mediswarm.pipelines.base import Site

DATA_DIR, SCRATCH_DIR, DEVICE = "MEDISWARM_DATA_DIR", "MEDISWARM_SCRATCH_DIR", "MEDISWARM_DEVICE"


def site_from_environment(name: str) -> Site:
    """The site as its environment describes it."""
    data, scratch = os.environ.get(DATA_DIR), os.environ.get(SCRATCH_DIR)
    return Site(
        name=name,
        data_dir=Path(data) if data else None,
        scratch_dir=Path(scratch) if scratch else None,
        device=os.environ.get(DEVICE, "cpu"),
    )


def environment_of(data_dir: Path | None, scratch_dir: Path | None, device: str) -> dict[str, str]:
    """The environment that :func:`site_from_environment` reads."""
    values = {DATA_DIR: data_dir, SCRATCH_DIR: scratch_dir, DEVICE: device}
    return {key: str(value) for key, value in values.items() if value is not None}
