"""CLAM: an attention branch for each category, whose tiles are clustered in training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mediswarm.models.bags.bag import Bag, Projection
from mediswarm.models.bags.gated_attention import GatedAttention


class ClamOutput(NamedTuple):
    """What the network gives in training.

    `patients` are logits [n, categories]; `high` and `low` logits [n, categories, k, 2] of the
    tiles to which a category's branch attends most and least, for "no evidence" and "evidence";
    `there` [n, k] is True where a bag has so many tiles; `share` is that of the clustering in the loss.
    """

    patients: torch.Tensor
    high: torch.Tensor
    low: torch.Tensor
    there: torch.Tensor
    share: float

    def loss(self, bag_loss: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
        """(1 - share) · `bag_loss` + share · the clustering's loss [scalar], for true categories [n].

        Tiles of high attention are evidence for the patient's category and none for the others;
        those of low attention are no evidence for the patient's category. Cross entropy, the mean of
        these three, where the paper has a smooth hinge.
        """
        own = torch.zeros(self.high.shape[:2], dtype=torch.bool, device=category.device)
        own[torch.arange(len(category)), category] = True
        evidence = torch.stack(
            [
                self._mean(self.high, own, 1),
                self._mean(self.low, own, 0),
                self._mean(self.high, ~own, 0),
            ]
        )
        return (1 - self.share) * bag_loss + self.share * evidence.mean()

    def _mean(self, logits: torch.Tensor, of: torch.Tensor, answer: int) -> torch.Tensor:
        """Mean cross entropy of the tiles of these categories [n, categories]; 0 of no tile."""
        chosen = logits[of[..., None] & self.there[:, None]].float()
        answers = torch.full((len(chosen),), answer, device=chosen.device)
        return cross_entropy(chosen, answers, reduction="sum") / max(1, len(chosen))


class Clam(nn.Module):
    """Clustering-constrained attention, multi-branch, for exclusive categories (Lu et al., 2021).

    Args:
        features: of a tile.
        categories: how many.
        width: of a tile's embedding.
        hidden: features of the attention.
        dropout: in training.
        instances: tiles of high and of low attention that are clustered; at most half of a bag each.
        instance_share: of the clustering in the loss.
    """

    def __init__(
        self,
        features: int,
        categories: int,
        width: int,
        hidden: int,
        dropout: float,
        instances: int,
        instance_share: float,
    ) -> None:
        super().__init__()
        self.instances, self.instance_share = instances, instance_share
        self.project = Projection(features, width, nn.ReLU(), dropout)
        self.attention = GatedAttention(width, hidden, categories)
        self.heads = nn.ModuleList(nn.Linear(width, 1) for _ in range(categories))
        self.evidence = nn.ModuleList(nn.Linear(width, 2) for _ in range(categories))

    def forward(self, bag: Bag) -> torch.Tensor | ClamOutput:
        """A batch of bags to [n, categories]; in training, with what the clustering needs."""
        tiles = self.project(bag["features"])
        shares = self.attention(tiles, bag["mask"])
        pooled = torch.einsum("ntc,ntw->ncw", shares.exp().to(tiles.dtype), tiles)
        patients = torch.cat([head(pooled[:, index]) for index, head in enumerate(self.heads)], dim=1)
        if not self.training:
            return patients
        count = min(self.instances, tiles.shape[1])
        highest = shares.topk(count, dim=1).indices
        lowest = shares.masked_fill(~bag["mask"][..., None], float("inf")).topk(count, dim=1, largest=False)
        halves = bag["mask"].sum(dim=1, keepdim=True) // 2
        there = torch.arange(count, device=tiles.device) < halves
        high, low = (self._evidence(tiles, chosen) for chosen in (highest, lowest.indices))
        return ClamOutput(patients, high, low, there, self.instance_share)

    def _evidence(self, tiles: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Logits [n, categories, k, 2] of the tiles [n, k, categories], each by its category's classifier."""
        patients = torch.arange(len(tiles), device=tiles.device)[:, None]
        logits = [
            classifier(tiles[patients, chosen[..., index]]) for index, classifier in enumerate(self.evidence)
        ]
        return torch.stack(logits, dim=1)
