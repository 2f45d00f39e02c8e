"""The encoder of Swin UNETR (Hatamizadeh et al., 2022), from MONAI, as a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

_STAGES = 4
_WINDOW = 7


class SwinUnetrClassifier(nn.Module):
    """Volumes to logits: the deepest features of the encoder, their mean over space, a linear head.

    The encoder pads odd sizes by itself. Shifted windows of 7 x 7 x 7 tokens (Liu et al., 2021),
    smaller where the volume is.

    Args:
        channels: of a volume.
        classes: number of logits.
        width: features of a token of 2 x 2 x 2 voxels, doubled in each stage.
        depths: blocks in each of the four stages.
        heads: of the attentions in each of the four stages.
    """

    def __init__(
        self, channels: int, classes: int, width: int, depths: Sequence[int], heads: Sequence[int]
    ) -> None:
        from monai.networks.nets.swin_unetr import SwinTransformer

        super().__init__()
        self.encoder = SwinTransformer(
            in_chans=channels,
            embed_dim=width,
            window_size=(_WINDOW,) * 3,
            patch_size=(2, 2, 2),
            depths=tuple(depths),
            num_heads=tuple(heads),
        )
        features = width * 2**_STAGES
        self.norm = nn.LayerNorm(features)
        self.head = nn.Linear(features, classes)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, channels, x, y, z] to logits [n, classes]."""
        logits: torch.Tensor = self.head(self.norm(self.deepest(volumes).mean(dim=(1, 2, 3))))
        return logits

    def deepest(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, channels, x, y, z] to the encoder's last features [n, x/32, y/32, z/32, 16 * width].

        The encoder's own forward without what it does for a decoder, and without einops, which it needs.
        """
        encoder = self.encoder
        tokens: torch.Tensor = encoder.patch_embed(volumes).permute(0, 2, 3, 4, 1)
        for stage in (encoder.layers1[0], encoder.layers2[0], encoder.layers3[0], encoder.layers4[0]):
            mask = _mask(tokens, stage.window_size, stage.shift_size)
            for block in stage.blocks:
                tokens = block(tokens, mask)
            tokens = stage.downsample(tokens)
        return tokens


def _mask(tokens: torch.Tensor, window: Sequence[int], shift: Sequence[int]) -> torch.Tensor:
    """Which tokens of a window see one another after the shift; for grids padded to whole windows."""
    from monai.networks.nets.swin_unetr import compute_mask, get_window_size

    grid = tokens.shape[1:4]
    window, shift = get_window_size(grid, window, shift)
    padded = [-(-size // edge) * edge for size, edge in zip(grid, window, strict=True)]
    mask: torch.Tensor = compute_mask(padded, window, shift, tokens.device)
    return mask
