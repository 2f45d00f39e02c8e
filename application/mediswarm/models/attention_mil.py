"""Attention-based multiple-instance learning over the slices of a volume."""

from __future__ import annotations

import torch
from torch import nn

GROUP = 8
"""Channels that are normalised together; the width is a multiple of it."""


class AttentionMil(nn.Module):
    """Volumes of any size to logits, by the slices that matter.

    A small 2D network embeds each slice along the last axis; the volume's embedding is
    their mean weighted by gated attention (Ilse et al., 2018, equation 9). The order of
    the slices plays no part. Normalised by groups of 8 channels (Wu and He, 2018).

    Args:
        channels: of a volume.
        classes: number of logits.
        width: features of the first block, doubled in each of the three others; a multiple of 8.
        attention: hidden features of the attention.
    """

    def __init__(self, channels: int, classes: int, width: int, attention: int) -> None:
        super().__init__()
        widths = [width * 2**block for block in range(4)]
        self.slice_encoder = nn.Sequential(
            *(_block(before, after) for before, after in zip([channels, *widths], widths, strict=False))
        )
        self.tanh_branch = nn.Linear(widths[-1], attention)
        self.gate_branch = nn.Linear(widths[-1], attention)
        self.score = nn.Linear(attention, 1)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, channels, x, y, z] to logits [n, classes]."""
        slices = volumes.permute(0, 4, 1, 2, 3).flatten(0, 1)
        embedded = self.slice_encoder(slices).mean(dim=(2, 3)).unflatten(0, (len(volumes), -1))
        gated = self.tanh_branch(embedded).tanh() * self.gate_branch(embedded).sigmoid()
        share = self.score(gated).softmax(dim=1)
        logits: torch.Tensor = self.head((share * embedded).sum(dim=1))
        return logits


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.GroupNorm(after // GROUP, after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.GroupNorm(after // GROUP, after),
        nn.ReLU(inplace=True),
        # rounded up, so that an axis of one voxel stays one voxel
        nn.MaxPool2d(2, ceil_mode=True),
    )
