"""The first model of a run, with the pretrained weights that its job names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch

from mediswarm.errors import ArtefactError
from mediswarm.models import dinov2_names
from mediswarm.pipelines.learner import Weights
from mediswarm.spec.pretrained import Pretrained
from mediswarm.training.tensor_views import tensors_in
from mediswarm.training.weights_store import find_weights

_SHOWN = 5
_CONVERSIONS: dict[str, Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]] = {
    "model": lambda tensors: tensors,
    "dinov2_meta": dinov2_names.from_meta,
    "dinov2_hugging_face": dinov2_names.from_hugging_face,
}


def with_pretrained(weights: Weights, shared: Iterable[str], asked: Pretrained, store: Path) -> Weights:
    """`weights` with the tensors of a file of the store in place of their own.

    Args:
        weights: all of the new model's, as it was initialised.
        shared: names of those that are federated.
        asked: which file, and what its names are in the model.
        store: the weights store's folder.

    Raises:
        ArtefactError: MS-G002 or MS-G003 as :func:`find_weights`; MS-G004 when the file and the
            parts of the model that it is for differ in names, shapes or kind of number, with the first
            differences; MS-G006 when it holds tensors that stay at the sites, which would not get them.
    """
    file = find_weights(asked.sha256, store).file
    there = _CONVERSIONS[asked.names](tensors_in(file))
    source = {name: new for name in there if (new := renamed(name, asked.prefixes)) is not None}
    taken = {new: there[name] for name, new in source.items()}
    differences = [
        *(f"{name} and another become {new}" for name, new in source.items() if _twice(new, source)),
        *(said for new, value in taken.items() if (said := _difference(new, value, weights))),
        *(f"the file lacks {name}" for name in weights if name not in taken and _meant(name, asked.prefixes)),
    ]
    if not taken:
        differences.append(f"none of the file's {len(there)} names begins like one of `prefixes`")
    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise ArtefactError(
            "MS-G004",
            f"the pretrained weights do not fit the model: {'; '.join(differences[:_SHOWN])}{more}",
            file=file,
        )
    if local := sorted(taken.keys() - set(shared)):
        raise ArtefactError(
            "MS-G006",
            f"{len(local)} pretrained tensors stay at the sites, such as {local[0]}, "
            "and only what is federated reaches them",
            file=file,
        )
    return {name: taken[name].to(value.dtype) if name in taken else value for name, value in weights.items()}


def renamed(name: str, prefixes: Mapping[str, str]) -> str | None:
    """The model's name for a tensor of the file, by the longest prefix that fits; None if none does."""
    fitting = [prefix for prefix in prefixes if name.startswith(prefix)]
    if not fitting:
        return None
    longest = max(fitting, key=len)
    return prefixes[longest] + name.removeprefix(longest)


def _meant(name: str, prefixes: Mapping[str, str]) -> bool:
    return name.startswith(tuple(prefixes.values()))


def _twice(new: str, source: Mapping[str, str]) -> bool:
    return sum(other == new for other in source.values()) > 1


def _difference(name: str, value: torch.Tensor, weights: Weights) -> str | None:
    if name not in weights:
        return f"the model has no {name}"
    own = weights[name]
    if own.shape != value.shape:
        return f"{name} has shape {tuple(value.shape)}, the model's {tuple(own.shape)}"
    if own.is_floating_point() != value.is_floating_point():
        return f"{name} holds {value.dtype}, the model's {own.dtype}"
    return None
