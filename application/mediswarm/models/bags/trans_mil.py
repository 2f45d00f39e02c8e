"""TransMIL: a transformer over tiles with attention by landmarks and a pyramid of convolutions."""

from __future__ import annotations

import math

import torch
from torch import nn

from mediswarm.models.bags.bag import Bag, Projection
from mediswarm.models.bags.nystrom import NystromAttention

_KERNELS = (7, 5, 3)


class TransMil(nn.Module):
    """Projection, Nyström layer, pyramid position encoding, Nyström layer, class token (Shao et al., 2021).

    As in the paper, tiles are laid into a square in the order of the file, which is filled up with the
    first of them again. Bags of as many tiles go through the network together, so that none is padded.

    Args:
        features: of a tile.
        outputs: numbers for a patient.
        width: of a token, a multiple of `heads`.
        heads: of each attention.
        landmarks: of each attention.
        dropout: in training.
    """

    def __init__(
        self, features: int, outputs: int, width: int, heads: int, landmarks: int, dropout: float
    ) -> None:
        super().__init__()
        self.project = Projection(features, width, nn.ReLU(), dropout)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.first, self.second = (_NystromLayer(width, heads, landmarks, dropout) for _ in range(2))
        self.pyramid = Pyramid(width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, bag: Bag) -> torch.Tensor:
        """A batch of bags to [n, outputs]."""
        counts = bag["mask"].sum(dim=1)
        patients, answers = [], []
        for count in set(counts.tolist()):
            alike = (counts == count).nonzero()[:, 0]
            tiles = bag["features"][alike][bag["mask"][alike]].view(len(alike), count, -1)
            answers.append(self._whole_bags(tiles))
            patients.append(alike)
        return torch.cat(answers)[torch.cat(patients).argsort()]

    def _whole_bags(self, tiles: torch.Tensor) -> torch.Tensor:
        """Tiles [n, T, features], all of them there, to [n, outputs]."""
        tokens = self.project(tiles)
        side = math.ceil(math.sqrt(tokens.shape[1]))
        tokens = torch.cat([tokens, tokens[:, : side**2 - tokens.shape[1]]], dim=1)
        class_token = self.class_token.to(tokens.dtype).expand(len(tokens), -1, -1)
        tokens = self.first(torch.cat([class_token, tokens], dim=1))
        tokens = self.second(torch.cat([tokens[:, :1], self.pyramid(tokens[:, 1:], side)], dim=1))
        outputs: torch.Tensor = self.head(self.norm(tokens[:, 0]))
        return outputs


class Pyramid(nn.Module):
    """The pyramid position encoding generator: convolutions of each feature over the square of tiles."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width) for kernel in _KERNELS
        )

    def forward(self, tokens: torch.Tensor, side: int) -> torch.Tensor:
        """Tokens [n, side², width] to [n, side², width]."""
        square = tokens.mT.reshape(len(tokens), -1, side, side)
        for convolution in self.convolutions:
            tokens = tokens + convolution(square).flatten(2).mT
        return tokens


class _NystromLayer(nn.Module):
    def __init__(self, width: int, heads: int, landmarks: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = NystromAttention(width, heads, landmarks, dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = tokens + self.attention(self.norm(tokens))
        return changed
