"""Cyclic weight transfer (Chang et al., 2018)."""

from __future__ import annotations

from mediswarm.aggregation.interface import Strategy
from mediswarm.aggregation.mean import require_fit
from mediswarm.training.crossing import Contribution


class CyclicStrategy(Strategy):
    """Each contribution at once becomes the model that the next site receives."""

    def add(self, contribution: Contribution) -> float:
        require_fit(contribution.update, self.weights)
        self.weights = {name: value + contribution.update[name] for name, value in self.weights.items()}
        return 1.0

    def commit(self) -> None:
        """The round ends as its last contribution left it."""
