"""A small 3D convolutional network for CPUs, tests and small volumes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Norm = Literal["batch", "group", "instance"]

_GROUPS = 4


class Cnn3d(nn.Module):
    """Four blocks of convolution, normalisation, ReLU and halving; mean over voxels; a linear head.

    Group normalisation (Wu and He, 2018) has no running statistics, so that sites
    with different scanners do not overwrite each other's; batch normalisation is
    there for comparison with published networks.
    """

    def __init__(self, channels: int, classes: int, width: int = 16, norm: Norm = "batch") -> None:
        """`width` is the number of features of the first block, doubled in each further block."""
        super().__init__()
        widths = [width * 2**block for block in range(4)]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv3d(before, after, kernel_size=3, padding=1, bias=False),
                    _norm(norm, after),
                    nn.ReLU(inplace=True),
                    # rounded up, so that an axis of one voxel stays one voxel
                    nn.MaxPool3d(2, ceil_mode=True),
                )
                for before, after in zip([channels, *widths], widths, strict=False)
            )
        )
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, channels, x, y, z] to logits [n, classes]."""
        features: torch.Tensor = self.blocks(volumes).amax(dim=(2, 3, 4))
        logits: torch.Tensor = self.head(features)
        return logits


def _norm(norm: Norm, features: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm3d(features)
    if norm == "instance":
        return nn.InstanceNorm3d(features, affine=True)
    return nn.GroupNorm(min(_GROUPS, features), features)
