"""Every random number of a run follows from (job, site, round)."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from mediswarm.spec import Job


def seed_for(job: Job, site: str, round_: int, purpose: str = "train") -> int:
    """A seed in [0, 2**31) from the job's name and root seed, the site, the round and the purpose."""
    text = f"{job.name}/{job.training.seed}/{site}/{round_}/{purpose}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    # libraries that draw from NumPy's global state must be reproducible too
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
