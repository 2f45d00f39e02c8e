"""ResNet for volumes (He et al., 2016; Hara et al., 2018), from MONAI."""

from __future__ import annotations

from typing import Literal

from torch import nn

Depth = Literal[10, 18, 34, 50, 101, 152]

SMALLEST_IN_PLANE = 33
"""Voxels along x and y: after five halvings two are left, which batch normalisation needs for one case."""

_BLOCKS: dict[Depth, tuple[int, int, int, int]] = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_SHALLOWEST_WITH_BOTTLENECKS = 50


def resnet_3d(channels: int, classes: int, depth: Depth, width: int) -> nn.Module:
    """A network from volumes [n, channels, x, y, z], x and y at least 33 voxels, to logits [n, classes].

    The first convolution halves x and y alone: slices are several times thicker than pixels are wide.

    Args:
        channels: input channels.
        classes: number of logits.
        depth: layers with weights, as in the network's name; from 50 on with bottleneck blocks.
        width: features of the first stage, doubled in each of the three others; published networks have 64.
    """
    from monai.networks.nets.resnet import ResNet

    network: nn.Module = ResNet(
        block="bottleneck" if depth >= _SHALLOWEST_WITH_BOTTLENECKS else "basic",
        layers=list(_BLOCKS[depth]),
        block_inplanes=[width * 2**stage for stage in range(4)],
        n_input_channels=channels,
        conv1_t_stride=(2, 2, 1),
        num_classes=classes,
    )
    return network
