"""From a network's outputs to probabilities of ordered classes.

Both heads are a number of outputs and a map to log probabilities, so that every
network serves both, and loss, metrics and predictions are the same for both.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import log_softmax, logsigmoid

Head = Literal["softmax", "ordinal"]


def outputs_of(head: Head, classes: int) -> int:
    """How many numbers the network gives for a case: one per class, or one per step between classes."""
    return classes if head == "softmax" else classes - 1


def log_probabilities(head: Head, output: torch.Tensor) -> torch.Tensor:
    """Log probabilities [n, classes], float32, whose exponentials sum to 1 in each row.

    `softmax`: output [n, classes] are logits; the order of the classes has no meaning.

    `ordinal`: output [n, classes - 1] are the logits of CORN (Shi, Cao and Raschka, 2021): output
    k is for "above class k, given that it is at least class k". The chain rule makes of them the
    probability of each class, and the cumulative probabilities fall with k by construction. A
    cumulative link would need thresholds that stay in order while sites average them; here each
    output is free, and any network's last layer will do.
    """
    output = output.float()
    if head == "softmax":
        return log_softmax(output, dim=1)
    start = torch.zeros_like(output[:, :1])
    reached = torch.cat([start, logsigmoid(output).cumsum(dim=1)], dim=1)
    stays = torch.cat([logsigmoid(-output), start], dim=1)
    return reached + stays
