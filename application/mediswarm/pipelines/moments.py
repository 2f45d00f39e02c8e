"""Federated standardisation: summed counts, sums and sums of squares, never rows."""

from __future__ import annotations

import torch

from mediswarm.pipelines.counts import Counts

_CONSTANT = 1e-12


def moment_counts(inputs: torch.Tensor, centre: torch.Tensor) -> Counts:
    """What a site tells of its training inputs for the common mean and scale.

    Values are shifted by `centre`, the same at all sites, so that the difference of
    sums from which the variance follows is well conditioned in float64 (Chan, Golub
    and LeVeque, 1983).

    Args:
        inputs: [n, features], NaN where a value is missing.
        centre: float64 [features].
    """
    shifted = inputs.double() - centre
    present = ~shifted.isnan()
    shifted = shifted.masked_fill(~present, 0.0)
    return {
        "moment_count": present.sum(dim=0).double().tolist(),
        "moment_sum": shifted.sum(dim=0).tolist(),
        "moment_square": shifted.square().sum(dim=0).tolist(),
    }


def mean_and_scale(
    counts: Counts, centre: torch.Tensor, reach: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and sample standard deviation of each feature, float64 [features] each.

    Args:
        counts: :func:`moment_counts` of one site or their sum over sites.
        centre: the shift with which they were counted.
        reach: half width of each feature's declared range. A feature whose standard
            deviation is below a millionth of it counts as constant and has scale 1.
    """
    number, total, square = (
        torch.tensor(counts[f"moment_{name}"], dtype=torch.float64) for name in ("count", "sum", "square")
    )
    shifted_mean = total / number.clamp(min=1)
    variance = (square - total * shifted_mean) / (number - 1).clamp(min=1)
    constant = variance <= _CONSTANT * reach.square()
    scale = torch.where(constant, 1.0, variance.clamp(min=0).sqrt())
    return centre + shifted_mean, scale
