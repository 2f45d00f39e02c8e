"""L1-penalised logistic regression over a wide table, with a learner on scikit-learn."""

from mediswarm.pipelines.linear.pipeline import Linear

__all__ = ["Linear"]
