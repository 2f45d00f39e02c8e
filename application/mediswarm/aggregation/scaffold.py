"""SCAFFOLD: stochastic controlled averaging (Karimireddy et al., 2020)."""

from __future__ import annotations

import torch

from mediswarm.aggregation.fedavg import FedAvgStrategy
from mediswarm.aggregation.mean import WeightedMean, require_fit
from mediswarm.pipelines.learner import Weights
from mediswarm.spec.workflow import WeightBy
from mediswarm.training.crossing import Contribution


class ScaffoldStrategy(FedAvgStrategy):
    """x = x + server_lr · mean update; c = c + (contributing / all sites) · mean change of c_i.

    Both means are weighted alike. The paper's sites weigh the same; with other weights, only
    their own mean of the c_i lets the corrections c - c_i cancel in the mean update, so that
    what is minimised stays the weighted loss.
    """

    def __init__(
        self, weights: Weights, trainable: set[str], weigh_by: WeightBy, server_lr: float, sites: int
    ) -> None:
        super().__init__(weights, trainable, weigh_by)
        self.server_lr, self.sites = server_lr, sites
        self.variate = {name: torch.zeros_like(weights[name]) for name in sorted(self.trainable)}
        self.changes, self.contributing = WeightedMean(self.variate), 0

    def control(self) -> Weights:
        return self.variate

    def state(self) -> Weights:
        return self.variate

    def restore(self, state: Weights) -> None:
        self.variate = dict(state) or self.variate

    def add(self, contribution: Contribution) -> float:
        if contribution.control is not None:
            require_fit(contribution.control, self.variate)
        weight = super().add(contribution)
        if contribution.control is not None:
            self.changes.add(contribution.control, weight)
            self.contributing += 1
        return weight

    def step(self, update: Weights) -> Weights:
        if self.contributing:
            share, change = self.contributing / self.sites, self.changes.drain()
            self.variate = {name: value + share * change[name] for name, value in self.variate.items()}
        self.contributing = 0
        return {
            name: value + (self.server_lr * update[name] if name in self.trainable else update[name])
            for name, value in self.weights.items()
        }
