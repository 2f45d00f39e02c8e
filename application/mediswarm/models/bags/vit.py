"""A vision transformer over tiles, read out at a class token."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad

from mediswarm.models.bags.attention import Bias, Layer
from mediswarm.models.bags.bag import Bag, Projection

_TILE_UM = 256.0  # distances are counted in tiles of STAMP's usual size


class TileTransformer(nn.Module):
    """Projection, class token, pre-norm layers, layer norm, linear head (Dosovitskiy et al., 2021).

    The last layer is computed for the class token alone, which is all that is read from it.
    Without ALiBi the tiles' order and places play no part.

    Args:
        features: of a tile.
        outputs: numbers for a patient.
        width: of a token.
        layers: of the transformer.
        heads: of each attention.
        hidden: features within each feed-forward network.
        dropout: in training.
        alibi: lower a tile's score by its distance in µm; see :func:`distance_bias`.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        dropout: float,
        *,
        alibi: bool,
    ) -> None:
        super().__init__()
        self.alibi, self.heads = alibi, heads
        self.project = Projection(features, width, nn.GELU(), dropout)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.layers = nn.ModuleList(Layer(width, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, bag: Bag) -> torch.Tensor:
        """A batch of bags to [n, outputs]."""
        tiles = self.project(bag["features"])
        tokens = torch.cat([self.class_token.to(tiles.dtype).expand(len(tiles), -1, -1), tiles], dim=1)
        mask = pad(bag["mask"], (1, 0), value=True)
        bias = distance_bias(bag["coords"], self.heads) if self.alibi else None
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            tokens = layer(tokens, mask, bias, wanted=1 if number == last else None)
        outputs: torch.Tensor = self.head(self.norm(tokens[:, 0]))
        return outputs


def distance_bias(coords: torch.Tensor, heads: int) -> Bias:
    """Attention with linear biases (ALiBi, Press et al., 2022) on distances in the plane.

    A score is lowered by slope · distance, in tiles of 256 µm, before the softmax. Head h of H
    has the slope 2^(-8 h / H), h from 1 on, as in the paper. To and from the class token, which
    is nowhere, the distance is 0. Slides of one patient lie over each other.

    Args:
        coords: µm [n, T, 2].
        heads: of the attention.

    Returns:
        The bias of the class token and the T tiles towards each other.
    """
    places = pad(coords.float() / _TILE_UM, (0, 0, 1, 0))
    slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1, device=coords.device) / heads)

    def bias(rows: slice) -> torch.Tensor:
        # not by products of coordinates: of places far from the origin, these lose the digits that count
        distance = torch.cdist(places[:, rows], places, compute_mode="donot_use_mm_for_euclid_dist")
        distance[:, :, 0] = 0.0
        if rows.start == 0:
            distance[:, 0] = 0.0
        return -slopes[:, None, None] * distance[:, None]

    return bias
