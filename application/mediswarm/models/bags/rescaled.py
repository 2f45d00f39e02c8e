"""Outputs in the label's unit, by a mean and scale that travel with the weights."""

from __future__ import annotations

import torch
from torch import nn

from mediswarm.models.bags.bag import Bag


class Rescaled(nn.Module):
    """mean + scale · the network's outputs, so that the network itself gives numbers near 0 and 1.

    Buffers, not parameters: `mean` and `scale`, float32 [outputs], the same at all sites.

    Args:
        network: gives [n, outputs].
        mean: of the label, [outputs].
        scale: its standard deviation, [outputs].
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, network: nn.Module, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())

    def forward(self, bag: Bag) -> torch.Tensor:
        """A batch of bags to [n, outputs], float32 in the label's unit."""
        outputs: torch.Tensor = self.mean + self.scale * self.network(bag).float()
        return outputs
