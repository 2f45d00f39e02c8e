"""DenseNet for volumes (Huang et al., 2017), from MONAI."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

SMALLEST_AXIS = 29
"""Voxels: each of the five halvings needs at least two voxels to halve."""


def densenet_3d(
    channels: int, classes: int, init_features: int, growth_rate: int, block_config: Sequence[int]
) -> nn.Module:
    """A network from volumes [n, channels, x, y, z], each axis at least 29 voxels, to logits [n, classes].

    Args:
        channels: input channels.
        classes: number of logits.
        init_features: features of the first convolution.
        growth_rate: features that each layer adds.
        block_config: layers in each of the four dense blocks; (6, 12, 24, 16) is DenseNet-121.
    """
    from monai.networks.nets.densenet import DenseNet

    network: nn.Module = DenseNet(
        spatial_dims=3,
        in_channels=channels,
        out_channels=classes,
        init_features=init_features,
        growth_rate=growth_rate,
        block_config=tuple(block_config),
    )
    return network
