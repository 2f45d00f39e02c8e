"""Networks on the mean of a bag's tiles: all there is of a slide's or patient's own features."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from mediswarm.models.bags.bag import Bag, mean_tile


class MeanMlp(nn.Module):
    """Linear layers, with ReLU and dropout between them, on the mean tile; one layer: a linear model.

    Args:
        features: of a tile.
        outputs: numbers for a patient.
        hidden: features of each hidden layer.
        layers: linear layers in all.
        dropout: after each hidden layer, in training.
    """

    def __init__(self, features: int, outputs: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        widths = [features, *[hidden] * (layers - 1)]
        steps: list[nn.Module] = []
        for before, after in pairwise(widths):
            steps += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*steps)
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, bag: Bag) -> torch.Tensor:
        """A batch of bags to [n, outputs]."""
        outputs: torch.Tensor = self.head(self.layers(mean_tile(bag, self.head.weight)))
        return outputs
