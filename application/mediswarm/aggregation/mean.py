"""Weighted mean of named tensors, one contribution at a time."""

from __future__ import annotations

import torch

from mediswarm.errors import ContractError
from mediswarm.pipelines.learner import Weights


class WeightedMean:
    """A running weighted mean.

    Sums are kept in float64: memory is that of two models whatever the number of
    sites, and the order in which contributions arrive changes nothing that
    survives the rounding back to float32. The memory is used again in the next round.
    """

    def __init__(self, like: Weights) -> None:
        """`like` has the names, shapes and types that every contribution must have."""
        self._like = like
        self._sums: Weights = {}
        self.weight = 0.0

    def add(self, values: Weights, weight: float) -> None:
        """Take one contribution into the mean.

        Raises:
            ContractError: MS-C003 when names or shapes are others; nothing of it is taken then.
        """
        require_fit(values, self._like)
        if not self._sums:
            self._sums = {
                name: torch.zeros(value.shape, dtype=torch.float64) for name, value in self._like.items()
            }
        for name, value in values.items():
            self._sums[name].add_(value, alpha=weight)
        self.weight += weight

    def drain(self) -> Weights:
        """The mean in the types of `like` (integers rounded), and start anew; it belongs to the caller.

        Raises:
            ContractError: MS-C005 when nothing of any weight was added.
        """
        if self.weight == 0:
            raise ContractError("MS-C005", "all contributions of the round have weight 0")
        mean = {
            name: _cast(total.div_(self.weight), self._like[name].dtype) for name, total in self._sums.items()
        }
        for total in self._sums.values():
            total.zero_()
        self.weight = 0.0
        return mean


def require_fit(values: Weights, like: Weights) -> None:
    """Compare names and shapes; torch would stretch a wrong shape in silence.

    Raises:
        ContractError: MS-C003 naming the first parameter that differs.
    """
    for name in sorted(values.keys() | like.keys()):
        if name not in values or name not in like:
            raise ContractError("MS-C003", f"a contribution and the model differ in having parameter {name}")
        if values[name].shape != like[name].shape:
            raise ContractError(
                "MS-C003",
                f"a contribution has parameter {name} of shape {tuple(values[name].shape)}, "
                f"the model {tuple(like[name].shape)}",
            )


def _cast(value: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    return (value if kind.is_floating_point else value.round()).to(kind, copy=True)
