"""Weighted mean of named tensors."""

from __future__ import annotations

import torch

from mediswarm.errors import ContractError
from mediswarm.pipelines.learner import Weights
from mediswarm.training.tensor_views import Tensors, shape_of


class WeightedMean:
    """A weighted mean of contributions.

    They are kept as they came, in a real federation on disk, and summed tensor by tensor at
    the end: beside the result there is memory for one tensor, whatever the number of sites.
    Sums are float64: the order in which contributions arrive changes nothing that survives
    the rounding back to float32.
    """

    def __init__(self, like: Weights) -> None:
        """`like` has the names, shapes and types that every contribution must have."""
        self._like = like
        self._terms: list[tuple[Tensors, float]] = []

    def add(self, values: Tensors, weight: float) -> None:
        """Take one contribution into the mean; it must not be written to afterwards.

        Raises:
            ContractError: MS-C003 when names or shapes are others; nothing of it is taken then.
        """
        require_fit(values, self._like)
        self._terms.append((values, weight))

    def drain(self) -> Weights:
        """The mean in the types of `like` (integers rounded), and start anew; it belongs to the caller.

        Raises:
            ContractError: MS-C005 when nothing of any weight was added.
        """
        terms, self._terms = self._terms, []
        weight = sum(share for _, share in terms)
        if weight == 0:
            raise ContractError("MS-C005", "all contributions of the round have weight 0")
        mean = {}
        (first, first_share), *others = terms
        for name, like in self._like.items():
            total = first[name].to(torch.float64, copy=True).mul_(first_share)
            for values, share in others:
                # two types in one addition take longer than the copy
                total.add_(values[name].double(), alpha=share)
            mean[name] = _cast(total.div_(weight), like.dtype)
        return mean


def require_fit(values: Tensors, like: Weights) -> None:
    """Compare names and shapes; torch would stretch a wrong shape in silence.

    Raises:
        ContractError: MS-C003 naming the first parameter that differs.
    """
    for name in sorted(values.keys() | like.keys()):
        if name not in values or name not in like:
            raise ContractError("MS-C003", f"a contribution and the model differ in having parameter {name}")
        shape = shape_of(values, name)
        if shape != tuple(like[name].shape):
            raise ContractError(
                "MS-C003",
                f"a contribution has parameter {name} of shape {shape}, the model {tuple(like[name].shape)}",
            )


def _cast(value: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    return (value if kind.is_floating_point else value.round()).to(kind, copy=True)
