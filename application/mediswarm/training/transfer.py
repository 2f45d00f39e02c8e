"""Transfer learning: which parameters are trained, and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

from mediswarm.errors import JobError


def freeze(model: nn.Module, patterns: Iterable[str], file: Path | None = None) -> None:
    """Take from training the parameters that match a shell pattern.

    They stay in the model that travels: a site that joins late receives them like all others.

    Raises:
        JobError: MS-J015 when a pattern matches no parameter, or together they match all.
    """
    parameters, patterns = dict(model.named_parameters()), tuple(patterns)
    for pattern in patterns:
        for name in _matching("training.freeze", pattern, parameters, file):
            parameters[name].requires_grad_(False)
    if patterns and not any(value.requires_grad for value in parameters.values()):
        raise JobError("MS-J015", "`training.freeze` leaves no parameter to train", file=file)


def parameter_groups(
    model: nn.Module, factors: Mapping[str, float], file: Path | None = None
) -> list[dict[str, Any]]:
    """The trainable parameters as an optimizer's groups, each with the `factor` on its learning rate.

    Args:
        model: with its frozen parameters marked.
        factors: factor by shell pattern; parameters that match none have factor 1.
        file: the job's, for messages.

    Raises:
        JobError: MS-J015 when a pattern matches no trainable parameter, or a parameter two patterns:
            the order of a mapping's keys is not part of a job.
    """
    rest = {name: value for name, value in model.named_parameters() if value.requires_grad}
    taken: dict[str, str] = {}
    named, groups = tuple(rest), []
    for pattern in sorted(factors):
        names = _matching("training.optimizer.lr_groups", pattern, named, file)
        for name in names:
            if name in taken:
                raise JobError(
                    "MS-J015",
                    f"`training.optimizer.lr_groups`: {name!r} matches {taken[name]!r} and {pattern!r}",
                    repair="Write the patterns such that each parameter matches one of them at most.",
                    file=file,
                )
            taken[name] = pattern
        groups.append({"params": [rest.pop(name) for name in names], "factor": factors[pattern]})
    return [{"params": list(rest.values()), "factor": 1.0}, *groups] if rest else groups


def train_mode(model: nn.Module) -> None:
    """Training mode, but for batch normalisations that are frozen: their statistics stay too."""
    model.train()
    for module in model.modules():
        if isinstance(module, AnyBatchNorm) and module.affine and not module.weight.requires_grad:
            module.eval()


def _matching(key: str, pattern: str, names: Iterable[str], file: Path | None) -> list[str]:
    names = list(names)
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise JobError(
            "MS-J015",
            f"`{key}`: {pattern!r} matches none of the {len(names)} parameters",
            repair=f"Correct the pattern, or remove it; parameters are named like {names[0]!r}."
            if names
            else None,
            file=file,
        )
    return found
