"""Weighted mean of named tensors."""

from __future__ import annotations

import torch

from mediswarm.errors import ContractError
from mediswarm.pipelines.learner import Weights
from mediswarm.training.tensor_views import Tensors, shape_of

_BLOCK = 1 << 16
"""Numbers that are widened to float64 at once: so many stay in a core's cache."""


class WeightedMean:
    """A weighted mean of contributions.

    They are kept as they came, in a real federation on disk, and summed tensor by tensor at
    the end: beside the result there is memory for one tensor, whatever the number of sites.
    Sums are float64: the order in which contributions arrive changes nothing that survives
    the rounding back to float32.
    """

    def __init__(self, like: Weights) -> None:
        """`like` has the names, shapes and types that every contribution must have; it is not kept."""
        self._like = {name: torch.empty_like(value, device="meta") for name, value in like.items()}
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
        # one buffer for all tensors: fresh memory takes longer to get than to fill
        sums = torch.empty(
            max((like.numel() for like in self._like.values()), default=0), dtype=torch.float64
        )
        for name, like in self._like.items():
            total = sums[: like.numel()].zero_()
            for values, share in terms:
                _add(total, values[name].reshape(-1), share)
            mean[name] = _cast(total.div_(weight), like.dtype).view(like.shape)
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


def _add(total: torch.Tensor, values: torch.Tensor, share: float) -> None:
    """Add share · values to the float64 `total`; two types in one addition take longer than the copy."""
    wide = torch.empty(min(_BLOCK, len(values)), dtype=torch.float64)
    for start in range(0, len(values), _BLOCK):
        part = values[start : start + _BLOCK]
        total[start : start + _BLOCK].add_(wide[: len(part)].copy_(part), alpha=share)


def _cast(value: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    return (value if kind.is_floating_point else value.round()).to(kind, copy=True)
