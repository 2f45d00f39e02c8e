"""The order in memory in which tensor cores convolve volumes."""

from __future__ import annotations

import torch
from torch import nn


def channels_last(model: nn.Module) -> None:
    """Lay out the weights of 3D convolutions [out, in, x, y, z] with `in` last in memory, in place.

    Values, names and shapes stay. PyTorch convolves in the layout of its weights and hands it on, so
    that the volumes need not be changed beforehand; layers that know no such layout change it back.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
