"""How updates become the next model: arithmetic on named tensors."""

from mediswarm.aggregation.find import strategy_for
from mediswarm.aggregation.interface import Strategy
from mediswarm.aggregation.mean import WeightedMean

__all__ = ["Strategy", "WeightedMean", "strategy_for"]
