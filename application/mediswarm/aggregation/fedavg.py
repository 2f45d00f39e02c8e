"""Federated averaging (McMahan et al., 2017), on differences."""

from __future__ import annotations

from mediswarm.aggregation.interface import Strategy, weight_of
from mediswarm.aggregation.mean import WeightedMean
from mediswarm.pipelines.learner import Weights
from mediswarm.spec.workflow import WeightBy
from mediswarm.training.crossing import Contribution


class FedAvgStrategy(Strategy):
    """next = present + weighted mean of the updates."""

    def __init__(self, weights: Weights, trainable: set[str], weigh_by: WeightBy = "cases") -> None:
        super().__init__(weights, trainable)
        self.weigh_by: WeightBy = weigh_by
        self.mean = WeightedMean(weights)

    def add(self, contribution: Contribution) -> float:
        weight = weight_of(contribution, self.weigh_by)
        self.mean.add(contribution.update, weight)
        return weight

    def commit(self) -> None:
        self.weights = self.step(self.mean.drain())

    def step(self, update: Weights) -> Weights:
        """The next weights from the mean update, which may be overwritten; what other strategies override."""
        return {name: update[name].add_(value) for name, value in self.weights.items()}
