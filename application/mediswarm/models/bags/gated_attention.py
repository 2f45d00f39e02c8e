"""Attention-based multiple-instance learning: a bag is the weighted mean of its tiles."""

from __future__ import annotations

import torch
from torch import nn

from mediswarm.models.bags.bag import Bag, Projection


class GatedAttention(nn.Module):
    """Gated attention (Ilse et al., 2018, equation 9), with a branch for each of several questions.

    Args:
        width: of a tile's embedding.
        hidden: features of the attention.
        branches: scores of a tile.
    """

    def __init__(self, width: int, hidden: int, branches: int) -> None:
        super().__init__()
        self.tanh = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, branches)

    def forward(self, tiles: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Embeddings [n, T, width] to log shares [n, T, branches], -inf where there is no tile."""
        scores = self.score(self.tanh(tiles).tanh() * self.gate(tiles).sigmoid())
        there: torch.Tensor = scores.float().masked_fill(~mask[..., None], float("-inf"))
        return there.log_softmax(dim=1)


class AttentionPooling(nn.Module):
    """Projection, gated attention, linear head.

    Args:
        features: of a tile.
        outputs: numbers for a patient.
        width: of a tile's embedding.
        hidden: features of the attention.
        dropout: in training.
    """

    def __init__(self, features: int, outputs: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.project = Projection(features, width, nn.ReLU(), dropout)
        self.attention = GatedAttention(width, hidden, 1)
        self.head = nn.Linear(width, outputs)

    def forward(self, bag: Bag) -> torch.Tensor:
        """A batch of bags to [n, outputs]."""
        tiles = self.project(bag["features"])
        shares = self.attention(tiles, bag["mask"]).exp().to(tiles.dtype)
        outputs: torch.Tensor = self.head((shares * tiles).sum(dim=1))
        return outputs
