"""The residual encoder of nnU-Net (Isensee et al., 2021 and 2024) as a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

SMALLEST_IN_PLANE = 33
"""Voxels along x and y: after five halvings two are left, which instance normalisation needs."""

_IN_PLANE, _ALL = (3, 3, 1), (3, 3, 3)
# nnU-Net's rule for spacing 0.7 x 0.7 x 3 mm: slices are left apart while they are twice as thick as pixels
_KERNELS = (_IN_PLANE, _IN_PLANE, _ALL, _ALL, _ALL, _ALL)
_STRIDES = ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
STAGES = len(_STRIDES)


class ResidualEncoderClassifier(nn.Module):
    """Volumes, x and y at least 33 voxels, to logits: the last stage, its mean over space, a linear head.

    Six stages of residual blocks with instance normalisation and leaky ReLU, after one
    convolution; each stage but the first halves the plane, the last three the slices too.
    Built from MONAI's blocks for nnU-Net (`UnetResBlock`): the authors' own package depends on
    others that this one keeps out. One difference: where a block halves, its shortcut is a
    convolution with a stride, theirs an average pooling before the convolution.

    Args:
        channels: of a volume.
        classes: number of logits.
        features: of each of the six stages.
        blocks: residual blocks in each of the six stages.
    """

    def __init__(self, channels: int, classes: int, features: Sequence[int], blocks: Sequence[int]) -> None:
        from monai.networks.blocks.convolutions import Convolution
        from monai.networks.blocks.dynunet_block import UnetResBlock

        super().__init__()
        norm = ("instance", {"affine": True})
        self.stem = Convolution(
            spatial_dims=3,
            in_channels=channels,
            out_channels=features[0],
            kernel_size=_KERNELS[0],
            norm=norm,
            act=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
        )
        self.stages = nn.ModuleList()
        before = features[0]
        for after, count, kernel, stride in zip(features, blocks, _KERNELS, _STRIDES, strict=True):
            stage = nn.Sequential()
            for index in range(count):
                stage.append(UnetResBlock(3, before, after, kernel, (1, 1, 1) if index else stride, norm))
                before = after
            self.stages.append(stage)
        self.head = nn.Linear(before, classes)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, channels, x, y, z] to logits [n, classes]."""
        features = self.stem(volumes)
        for stage in self.stages:
            features = stage(features)
        logits: torch.Tensor = self.head(features.mean(dim=(2, 3, 4)))
        return logits
