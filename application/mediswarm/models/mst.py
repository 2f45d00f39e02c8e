"""The Medical Slice Transformer: DINOv2 on each slice, then a transformer over the slices."""

from __future__ import annotations

import torch
from torch import nn

from mediswarm.models.image_inputs import as_colour, pad_to_multiples
from mediswarm.models.slice_transformer import SliceTransformer

PATCH = 14
"""Voxels: edge of the squares into which DINOv2 cuts a slice."""


class SliceTransformerClassifier(nn.Module):
    """Volumes of any size to logits (Müller-Franzes et al., 2024).

    Each slice along the last axis is one colour image for DINOv2 (Oquab et al.,
    2023; the network of `transformers`), padded to whole patches. Its class token
    is the slice's embedding. A transformer over the slices, rotary in the slice's
    number, gives one embedding for the volume.

    Args:
        classes: number of logits.
        width: of an embedding.
        layers: of DINOv2.
        heads: of each attention of DINOv2.
        image_size: edge, in pixels, of the images for which DINOv2 keeps position embeddings, a multiple
            of 14; they are interpolated to the size of the slices.
        slice_layers: of the transformer over the slices.
        slice_heads: of each of its attentions.
    """

    def __init__(
        self,
        classes: int,
        width: int,
        layers: int,
        heads: int,
        image_size: int,
        slice_layers: int,
        slice_heads: int,
    ) -> None:
        from transformers import Dinov2Config, Dinov2Model

        super().__init__()
        config = Dinov2Config(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=image_size,
            patch_size=PATCH,
            # it is for self-supervised training: no weight without a gradient goes round
            use_mask_token=False,
        )
        self.slice_encoder = Dinov2Model(config)
        self.slice_transformer = SliceTransformer(width, slice_heads, slice_layers)
        self.head = nn.Linear(width, classes)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, 1 or 3, x, y, z] to logits [n, classes]."""
        logits: torch.Tensor = self.head(self.slice_transformer(self.embed(volumes)))
        return logits

    def embed(self, volumes: torch.Tensor) -> torch.Tensor:
        """Volumes [n, 1 or 3, x, y, z] to the embeddings of their slices [n, z, width]."""
        whole = pad_to_multiples(as_colour(volumes), (PATCH, PATCH, 1))
        slices = whole.permute(0, 4, 1, 2, 3).flatten(0, 1)
        embedded: torch.Tensor = self.slice_encoder(pixel_values=slices).pooler_output
        return embedded.reshape(len(volumes), volumes.shape[-1], -1)
