"""A transformer over the slices of a volume, with rotary positions and a class token."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn

_LONGEST_WAVE = 10_000.0


class SliceTransformer(nn.Module):
    """Slice embeddings [n, slices, width] to one embedding [n, width], that of a learned class token.

    Pre-norm layers (Vaswani et al., 2017). Positions are rotations of queries and
    keys (RoFormer, Su et al., 2021): between two slices only their distance
    counts, and there is nothing that ties the weights to a number of slices. The
    class token stands at position 0, the slices from 1 on.

    Args:
        width: of an embedding, a multiple of 2 * `heads`.
        heads: of each attention.
        layers: of the transformer.
    """

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """Embeddings [n, slices, width], in their order, to [n, width]."""
        tokens = torch.cat([self.class_token.to(slices.dtype).expand(len(slices), -1, -1), slices], dim=1)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        for layer in self.layers:
            tokens = layer(tokens, positions)
        pooled: torch.Tensor = self.norm(tokens[:, 0])
        return pooled


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        joint = self.query_key_value(self.norm_attention(tokens))
        query, key, value = joint.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(rotate(query, positions), rotate(key, positions), value)
        tokens = tokens + self.project(attended.transpose(1, 2).flatten(2))
        changed: torch.Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return changed


def rotate(vectors: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Turn pairs of features by angles proportional to the position (Su et al., 2021).

    Args:
        vectors: [n, heads, tokens, features], an even number of features.
        positions: [tokens].

    Returns:
        [n, heads, tokens, features]: the dot product of two of them depends on their positions'
        difference alone.
    """
    half = vectors.shape[-1] // 2
    waves = _LONGEST_WAVE ** -(torch.arange(half, device=vectors.device) / half)
    angles = positions[:, None] * waves
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors[..., :half], vectors[..., half:]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
