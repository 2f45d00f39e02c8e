"""Standardisation as the first layer of a model, so that it travels and is judged with it."""

from __future__ import annotations

import torch
from torch import nn


class Standardise(nn.Module):
    """(x - mean) / scale for each feature; a missing value (NaN) becomes the mean, which is 0.

    Buffers, not parameters: `mean` and `scale`, float32 [features], 0 and 1 until they are set.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def set(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Copy `mean` and `scale` [features] into the buffers."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Standardised inputs [n, features]."""
        standardised = (inputs - self.mean) / self.scale
        return standardised.masked_fill(standardised.isnan(), 0.0)
