"""A linear classifier in the form that linear models are published in: `coef` and `intercept`."""

from __future__ import annotations

import torch
from torch import nn

from mediswarm.models.standardise import Standardise


class LinearModel(nn.Module):
    """Logits of standardised features; all 0 at first, since the problem is convex.

    Parameters: `coef` [classes, features], `intercept` [classes].
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise(features)
        self.coef = nn.Parameter(torch.zeros(classes, features))
        self.intercept = nn.Parameter(torch.zeros(classes))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of inputs [n, features]."""
        return nn.functional.linear(self.standardise(inputs), self.coef, self.intercept)
