"""Multi-head attention whose memory grows with the number of tiles, not with its square."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

Bias = Callable[[slice], torch.Tensor]
"""From rows of queries to what is added to their scores before the softmax, [n, heads, rows, memory]."""

_MOST_SCORES = 2**25  # at a time: 128 MiB in float32


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017); queries are answered in chunks, with the same result.

    Args:
        width: of a token, a multiple of `heads`.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)

    def forward(
        self, tokens: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None, bias: Bias | None = None
    ) -> torch.Tensor:
        """What each token finds in the memory.

        Args:
            tokens: [n, q, width].
            memory: [n, t, width].
            mask: [n, t], True where something is that may be found; None: everywhere.
            bias: see :data:`Bias`; -inf is added where `mask` is False.

        Returns:
            [n, q, width].
        """
        query, key, value = self._projected(tokens, memory)
        rows = max(1, _MOST_SCORES // (len(memory) * self.heads * memory.shape[1]))
        found = []
        for start in range(0, tokens.shape[1], rows):
            chosen = slice(start, min(start + rows, tokens.shape[1]))
            found.append(
                scaled_dot_product_attention(
                    query[:, :, chosen], key, value, attn_mask=_added(chosen, query.dtype, mask, bias)
                )
            )
        gathered = torch.cat(found, dim=2).transpose(1, 2).flatten(2)
        answer: torch.Tensor = self.project(gathered)
        return answer

    def shares(
        self, tokens: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None, bias: Bias | None = None
    ) -> torch.Tensor:
        """How each of a few tokens divides its attention over the memory, [n, heads, q, t]."""
        query, key, _ = self._projected(tokens, memory)
        scores = query @ key.mT / query.shape[-1] ** 0.5
        added = _added(slice(0, tokens.shape[1]), scores.dtype, mask, bias)
        if added is not None:
            hidden = added.dtype == torch.bool
            scores = scores.masked_fill(~added, float("-inf")) if hidden else scores + added
        shares: torch.Tensor = scores.softmax(dim=-1)
        return shares

    def _projected(
        self, tokens: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries [n, heads, q, width of a head] of the tokens, keys and values of the memory."""
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value


class Layer(nn.Module):
    """A pre-norm transformer layer: attention of the tokens to each other, then a feed-forward network.

    Args:
        width: of a token.
        heads: of the attention.
        hidden: features between the two linear layers of the feed-forward network.
        dropout: after each of them, in training.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_forward = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    def forward(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor | None,
        bias: Bias | None = None,
        wanted: int | None = None,
    ) -> torch.Tensor:
        """Tokens [n, t, width] to the first `wanted` of them (all by default), having looked at all."""
        memory = self.norm_attention(tokens)
        changed = tokens[:, :wanted] + self.attention(memory[:, :wanted], memory, mask, bias)
        answer: torch.Tensor = changed + self.feed_forward(self.norm_forward(changed))
        return answer


def _added(
    rows: slice, dtype: torch.dtype, mask: torch.Tensor | None, bias: Bias | None
) -> torch.Tensor | None:
    """What is added to the scores of these queries: [n, heads or 1, rows or 1, t]."""
    if bias is None:
        return None if mask is None else mask[:, None, None]
    added = bias(rows)
    if mask is not None:
        added = added.masked_fill(~mask[:, None, None], float("-inf"))
    return added.to(dtype)
