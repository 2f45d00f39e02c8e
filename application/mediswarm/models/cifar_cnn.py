"""A small convolutional network for images of 32 x 32 pixels."""

from __future__ import annotations

import torch
from torch import nn


class CifarCnn(nn.Module):
    """Three blocks of two 3 x 3 convolutions, each block at half the resolution and twice the width.

    Normalised by groups of 8 channels (Wu and He, 2018): nothing depends on the other cases of a
    batch, and there are no running statistics on which sites could differ.

    Args:
        width: channels of the first block, a multiple of 8.
        classes: number of logits.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        blocks, channels = [], 3
        for factor in (1, 2, 4):
            blocks.append(_block(channels, factor * width))
            channels = factor * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of images [n, 3, height, width]."""
        logits: torch.Tensor = self.head(self.blocks(images).mean(dim=(2, 3)))
        return logits


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.GroupNorm(width // 8, width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.GroupNorm(width // 8, width),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
