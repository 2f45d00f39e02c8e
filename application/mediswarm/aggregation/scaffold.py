"""SCAFFOLD: stochastic controlled averaging (Karimireddy et al., 2020)."""

from __future__ import annotations

import torch

from mediswarm.aggregation.fedavg import FedAvgStrategy
from mediswarm.aggregation.mean import WeightedMean
from mediswarm.pipelines.learner import Weights
from mediswarm.spec.workflow import WeightBy
from mediswarm.training.crossing import Contribution


class ScaffoldStrategy(FedAvgStrategy):
    """x = x + server_lr · mean update; c = c + (contributing / all sites) · mean change of c_i."""

    def __init__(
        self, weights: Weights, trainable: set[str], weigh_by: WeightBy, server_lr: float, sites: int
    ) -> None:
        super().__init__(weights, trainable, weigh_by)
        self.server_lr, self.sites = server_lr, sites
        self.variate = {name: torch.zeros_like(weights[name]) for name in sorted(self.trainable)}
        self.changes = WeightedMean()

    def control(self) -> Weights:
        return self.variate

    def add(self, contribution: Contribution) -> float:
        if contribution.control is not None:
            self.changes.add(contribution.control, 1.0)
        return super().add(contribution)

    def step(self, update: Weights) -> Weights:
        share = self.changes.weight / self.sites
        change = self.changes.result()
        if change:
            self.variate = {name: value + share * change[name] for name, value in self.variate.items()}
        self.changes = WeightedMean()
        return {
            name: value + (self.server_lr * update[name] if name in self.trainable else update[name])
            for name, value in self.weights.items()
        }

    def discard(self) -> None:
        super().discard()
        self.changes = WeightedMean()
