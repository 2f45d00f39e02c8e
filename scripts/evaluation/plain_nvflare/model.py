"""The benchmark's model."""

from __future__ import annotations

from torch import nn


class Stack(nn.Sequential):
    """Linear layers of one width and two outputs."""

    def __init__(self, width: int, depth: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(width, width), nn.ReLU()]
        super().__init__(*layers, nn.Linear(width, 2))


def stack(width: int, depth: int) -> Stack:
    """A new model."""
    return Stack(width, depth)
