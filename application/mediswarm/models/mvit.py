"""MViTv2 (Li et al., 2022), a video transformer, with slices for frames; from torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn

from mediswarm.errors import HostError
from mediswarm.models.image_inputs import as_colour, pad_to_multiples

SMALLEST_IN_PLANE = 29
"""Voxels along x and y: padded to 32, of which three halvings of the patches leave one."""

_PATCH = (4, 4, 2)
_HEAD_DROPOUT, _STOCHASTIC_DEPTH = 0.5, 0.2


class MvitClassifier(nn.Module):
    """Volumes of one size, x and y at least 29 voxels, to logits; slices along the last axis are the frames.

    Args:
        classes: number of logits.
        size: voxels of the volumes along x, y and z; padded to multiples of 4, 4 and 2.
        width: features of the first stage, doubled in each of the three others.
        blocks: in each of the four stages; (1, 2, 11, 2) and width 96 are MViTv2-S.

    Raises:
        HostError: MS-H012 when torchvision is missing, or does not fit this torch.
    """

    def __init__(self, classes: int, size: Sequence[int], width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        library = _torchvision()
        x, y, z = (-(-voxels // patch) * patch for voxels, patch in zip(size, _PATCH, strict=True))
        self.network = library.MViT(
            spatial_size=(x, y),
            temporal_size=z,
            block_setting=_block_setting(library.MSBlockConfig, width, blocks),
            residual_pool=True,
            residual_with_cls_embed=False,
            rel_pos_embed=True,
            proj_after_attn=True,
            dropout=_HEAD_DROPOUT,
            stochastic_depth_prob=_STOCHASTIC_DEPTH,
            num_classes=classes,
        )

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, 1 or 3, x, y, z] to logits [n, classes]."""
        frames = pad_to_multiples(as_colour(volumes), _PATCH).permute(0, 1, 4, 2, 3)
        logits: torch.Tensor = self.network(frames)
        return logits


def _block_setting(kind: Any, width: int, blocks: Sequence[int]) -> list[Any]:
    """What each block does: the first of a stage doubles the features and halves the plane."""
    setting, before = [], width
    for stage, count in enumerate(blocks):
        after = width * 2**stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            # keys and values are of the same coarse grid in every stage
            coarse = 2 ** (len(blocks) - 1 - stage)
            setting.append(
                kind(
                    num_heads=2**stage,
                    input_channels=before,
                    output_channels=after,
                    kernel_q=[3, 3, 3],
                    kernel_kv=[3, 3, 3],
                    stride_q=[1, stride, stride],
                    stride_kv=[1, coarse, coarse],
                )
            )
            before = after
    return setting


def _torchvision() -> Any:
    try:
        return import_module("torchvision.models.video.mvit")
    # a torchvision that was built for another torch is found, and fails as it loads its operators
    except (ImportError, RuntimeError) as error:
        raise HostError(
            "MS-H012", f"backbone mvit is torchvision's, which cannot be imported ({error})"
        ) from error
