"""A transformer encoder of tiles and a decoder with one class token for each target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mediswarm.models.bags.attention import Attention, Layer
from mediswarm.models.bags.bag import Bag, Projection


class Barspoon(nn.Module):
    """Each target has a token of its own that looks for what it needs among the encoded tiles.

    Encoder and decoder are those of Vaswani et al. (2017), normalised before each step. Tiles have
    no order and no place.

    Args:
        features: of a tile.
        groups: outputs of each target.
        width: of a token, a multiple of `heads`.
        encoder_layers: of the tiles.
        decoder_layers: of the class tokens.
        heads: of each attention.
        hidden: features within each feed-forward network.
        dropout: in training.
    """

    def __init__(
        self,
        features: int,
        groups: Sequence[int],
        width: int,
        encoder_layers: int,
        decoder_layers: int,
        heads: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.project = Projection(features, width, nn.ReLU(), dropout)
        self.encoder = nn.ModuleList(Layer(width, heads, hidden, dropout) for _ in range(encoder_layers))
        self.norm_encoded = nn.LayerNorm(width)
        self.class_tokens = nn.Parameter(torch.empty(1, len(groups), width))
        nn.init.trunc_normal_(self.class_tokens, std=0.02)
        self.decoder = nn.ModuleList(
            _DecoderLayer(width, heads, hidden, dropout) for _ in range(decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, outputs) for outputs in groups)

    def forward(self, bag: Bag) -> torch.Tensor:
        """A batch of bags to [n, outputs], target after target."""
        tiles, mask = self.project(bag["features"]), bag["mask"]
        for layer in self.encoder:
            tiles = layer(tiles, mask)
        tiles = self.norm_encoded(tiles)
        tokens = self.class_tokens.to(tiles.dtype).expand(len(tiles), -1, -1)
        for layer in self.decoder:
            tokens = layer(tokens, tiles, mask)
        tokens = self.norm(tokens)
        return torch.cat([head(tokens[:, index]) for index, head in enumerate(self.heads)], dim=1)


class _DecoderLayer(nn.Module):
    """Class tokens look at the tiles, then at each other; then a feed-forward network."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_tiles = nn.LayerNorm(width)
        self.tiles = Attention(width, heads)
        self.each_other = Layer(width, heads, hidden, dropout)

    def forward(self, tokens: torch.Tensor, tiles: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen = tokens + self.tiles(self.norm_tiles(tokens), tiles, mask)
        changed: torch.Tensor = self.each_other(seen, None)
        return changed
