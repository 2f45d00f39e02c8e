"""Weighted mean of named tensors, one contribution at a time."""

from __future__ import annotations

import torch

from mediswarm.errors import ContractError
from mediswarm.pipelines.learner import Weights


class WeightedMean:
    """A running weighted mean.

    Sums are kept in float64: memory is that of two models whatever the number of
    sites, and the order in which contributions arrive changes nothing that
    survives the rounding back to float32.
    """

    def __init__(self) -> None:
        self._sums: Weights = {}
        self._types: dict[str, torch.dtype] = {}
        self.weight = 0.0

    def add(self, values: Weights, weight: float) -> None:
        """Take one contribution into the mean.

        Raises:
            ContractError: MS-C003 when names or shapes differ from the first one's.
        """
        if not self._sums:
            self._sums = {
                name: torch.zeros(value.shape, dtype=torch.float64) for name, value in values.items()
            }
            self._types = {name: value.dtype for name, value in values.items()}
        if values.keys() != self._sums.keys():
            odd = sorted(values.keys() ^ self._sums.keys())[0]
            raise ContractError("MS-C003", f"a contribution differs from the others in parameter {odd}")
        for name, value in values.items():
            total = self._sums[name]
            if total.shape != value.shape:
                raise ContractError(
                    "MS-C003", f"parameter {name} has shape {tuple(value.shape)}, not {tuple(total.shape)}"
                )
            total.add_(value, alpha=weight)
        self.weight += weight

    def result(self) -> Weights:
        """The mean in the contributions' types (integers rounded); empty when nothing was added."""
        return {name: _cast(total / self.weight, self._types[name]) for name, total in self._sums.items()}


def _cast(value: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    return value.to(kind) if kind.is_floating_point else value.round().to(kind)
