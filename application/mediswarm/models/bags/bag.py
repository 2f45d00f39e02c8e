"""What all networks for bags do with a batch first."""

from __future__ import annotations

import torch
from torch import nn

Bag = dict[str, torch.Tensor]
"""`features` [n, T, F], `coords` [n, T, 2] in µm, `mask` [n, T], True where a tile is."""


class Projection(nn.Module):
    """A linear layer, an activation, dropout.

    Args:
        features: of a tile.
        width: of its embedding.
        activation: after the linear layer.
        dropout: in training.
    """

    def __init__(self, features: int, width: int, activation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features of any precision [n, T, F] to embeddings [n, T, width] in that of the weights."""
        embedded = self.linear(features.to(self.linear.weight.dtype))
        dropped: torch.Tensor = self.dropout(self.activation(embedded))
        return dropped


def mean_tile(bag: Bag, like: torch.Tensor) -> torch.Tensor:
    """The mean features [n, F] of each bag's tiles, in the precision of `like`."""
    there = bag["mask"].to(like.dtype)
    return torch.einsum("ntf,nt->nf", bag["features"].to(like.dtype), there) / there.sum(dim=1, keepdim=True)
