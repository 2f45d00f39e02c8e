"""Which of a model's parameters are shared, and the difference that is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch

from mediswarm.errors import RunFailed
from mediswarm.pipelines.learner import Weights


def shared_names(names: Iterable[str], exclude: Iterable[str]) -> list[str]:
    """Names that match none of the shell patterns in `exclude`, in their order."""
    patterns = tuple(exclude)
    return [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)]


def difference(trained: Weights, received: Weights) -> Weights:
    """`trained` − `received` for every name in `received`.

    Raises:
        RunFailed: MS-R004 when a difference holds NaN or infinity.
    """
    update = {name: trained[name] - value for name, value in received.items()}
    for name, value in update.items():
        # one number that is not finite makes the sum so, and the sum needs no memory
        if value.is_floating_point() and not torch.isfinite(value.sum(dtype=torch.float64)):
            raise RunFailed("MS-R004", f"parameter {name} is no longer a finite number after training")
    return update


def digest_of(weights: Weights) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        sha.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
