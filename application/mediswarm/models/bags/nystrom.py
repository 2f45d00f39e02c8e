"""Nyström's approximation of attention: time and memory grow with the number of tokens."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad, scaled_dot_product_attention

_NEIGHBOURS = 33
_ITERATIONS = 6


class NystromAttention(nn.Module):
    """Attention of all tokens to each other by way of landmarks (Nyströmformer, Xiong et al., 2021).

    Landmarks are the means of as many runs of tokens, all of one length but the last. To what is
    found, each value's neighbours along the order of the tokens are added by a convolution, as in the
    paper. Up to `landmarks` tokens attend to each other directly: this is what the landmarks
    approximate.

    Args:
        width: of a token, a multiple of `heads`.
        heads: of the attention.
        landmarks: at most.
        dropout: of the answer, in training.
    """

    def __init__(self, width: int, heads: int, landmarks: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.landmarks = heads, landmarks
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.neighbours = nn.Conv2d(
            heads, heads, (_NEIGHBOURS, 1), padding=(_NEIGHBOURS // 2, 0), groups=heads, bias=False
        )
        self.project = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [n, t, width], all of them there, to [n, t, width]."""
        joint = self.query_key_value(tokens).unflatten(-1, (3, self.heads, -1))
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        if tokens.shape[1] <= self.landmarks:
            found = scaled_dot_product_attention(query, key, value)
        else:
            few_queries, few_keys = (run_means(many, self.landmarks) for many in (query, key))
            # softmax(Q k') · (softmax(q' k'))⁺ · softmax(q' K) · V from the right, so that no
            # matrix is larger than landmarks by features
            gathered = scaled_dot_product_attention(few_queries, key, value)
            spread = _between_landmarks(few_queries, few_keys, gathered)
            found = scaled_dot_product_attention(query, few_keys, spread)
        found = (found + self.neighbours(value)).transpose(1, 2).flatten(2)
        answer: torch.Tensor = self.dropout(self.project(found))
        return answer


def run_means(vectors: torch.Tensor, most: int) -> torch.Tensor:
    """Means of runs of vectors, all of the shortest length that makes at most `most` of them.

    Args:
        vectors: [n, heads, t, features].
        most: runs.

    Returns:
        [n, heads, runs, features]; the last run may be shorter than the others.
    """
    count = vectors.shape[2]
    length = -(-count // most)
    runs = -(-count // length)
    filled = pad(vectors, (0, 0, 0, runs * length - count))
    sums = filled.reshape(*vectors.shape[:2], runs, length, -1).sum(dim=3)
    sizes = torch.full((runs, 1), length, dtype=sums.dtype, device=sums.device)
    sizes[-1] = count - (runs - 1) * length
    means: torch.Tensor = sums / sizes
    return means


def pseudo_inverse(matrix: torch.Tensor) -> torch.Tensor:
    """The Moore-Penrose inverse of square matrices [..., m, m] by Razavi et al.'s iteration (2014).

    Six steps, as in the Nyströmformer. Each matrix has its own starting point; one taken from the whole
    batch would let a patient's result depend on the patients beside it.
    """
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    size = matrix.abs()
    norms = size.sum(dim=-1).amax(dim=-1) * size.sum(dim=-2).amax(dim=-1)
    inverse = matrix.mT / norms[..., None, None]
    for _ in range(_ITERATIONS):
        product = matrix @ inverse
        inner = 15 * identity - product @ (7 * identity - product)
        inverse = 0.25 * inverse @ (13 * identity - product @ inner)
    return inverse


def _between_landmarks(queries: torch.Tensor, keys: torch.Tensor, gathered: torch.Tensor) -> torch.Tensor:
    """softmax(q' k')⁺ times what was gathered; in float32, since half precision spoils the iteration."""
    with torch.autocast(queries.device.type, enabled=False):
        scores = queries.float() @ keys.float().mT / queries.shape[-1] ** 0.5
        return (pseudo_inverse(scores.softmax(dim=-1)) @ gathered.float()).to(gathered.dtype)
