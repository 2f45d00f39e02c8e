"""Which of a model's parameters are shared, and the difference that is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from mediswarm.errors import JobError, RunFailed
from mediswarm.pipelines.learner import Weights


def shared_names(names: Iterable[str], exclude: Iterable[str]) -> list[str]:
    """Names that match none of the shell patterns in `exclude`, in their order."""
    patterns = tuple(exclude)
    return [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)]


def check_exclude(names: Iterable[str], exclude: Iterable[str], file: Path) -> None:
    """Check a job's patterns against the model: a misspelt one would share what should stay local.

    Raises:
        JobError: MS-J013 when a pattern matches none of `names`, or when together they match all.
    """
    names, exclude = tuple(names), tuple(exclude)
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise JobError(
                "MS-J013",
                f"`exchange.exclude`: {pattern!r} matches none of the model's {len(names)} parameters",
                repair=f"Correct the pattern, or remove it; parameters are named like {names[0]!r}."
                if names
                else None,
                file=file,
            )
    if exclude and not shared_names(names, exclude):
        raise JobError(
            "MS-J013",
            "`exchange.exclude` leaves no parameter to share",
            repair="Exclude fewer parameters; sites that share nothing learn nothing together.",
            file=file,
        )


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
