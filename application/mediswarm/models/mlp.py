"""Multilayer perceptron on standardised features; without hidden layers, logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mediswarm.models.standardise import Standardise

_BINARY = 2


class Mlp(nn.Module):
    """Linear layers with ReLU between them.

    Two classes have one output, the log odds of the second class against the
    first, whose logit is 0: the usual form of logistic regression. A softmax over
    two free logits describes the same models, but moves twice as far in a step of
    the same learning rate.

    Args:
        features: width of the input.
        hidden: widths of the hidden layers; empty for (multinomial) logistic regression.
        classes: number of logits.
    """

    def __init__(self, features: int, hidden: Sequence[int], classes: int) -> None:
        super().__init__()
        self.standardise = Standardise(features)
        layers: list[nn.Module] = []
        width = features
        for next_width in hidden:
            layers += [nn.Linear(width, next_width), nn.ReLU()]
            width = next_width
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes if classes > _BINARY else 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of inputs [n, features]."""
        output: torch.Tensor = self.layers(self.standardise(inputs))
        if output.shape[1] > 1:
            return output
        return torch.cat([torch.zeros_like(output), output], dim=1)
