"""What becomes of batch normalisation where sites average their models."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

_MOST_GROUPS = 32
_FEWEST_CHANNELS = 4


def batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """The batch normalisations in `model`, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, AnyBatchNorm)}


def to_group_norm(model: nn.Module) -> None:
    """Replace every batch normalisation inside `model` by group normalisation (Wu and He, 2018), in place.

    Weights and biases keep their names and values; the running statistics are gone. The groups are
    equal, as many as :func:`groups_of` says.
    """
    for name, module in batch_norms(model).items():
        assert isinstance(module, AnyBatchNorm)  # noqa: S101 - for the type alone
        features = module.num_features
        group = nn.GroupNorm(groups_of(features), features, module.eps, module.affine)
        if module.affine:
            group.weight, group.bias = module.weight, module.bias
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, group)


def groups_of(features: int) -> int:
    """Groups for `features` channels: the most, up to 32, that are equal and have at least 4 channels.

    One, where there is no such number: with a channel of its own, a group of one voxel would be 0.
    """
    fitting = [
        groups
        for groups in range(1, min(_MOST_GROUPS, features // _FEWEST_CHANNELS) + 1)
        if not features % groups
    ]
    return max(fitting, default=1)
