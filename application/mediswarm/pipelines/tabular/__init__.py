"""Tables with a declared schema: logistic regression or a multilayer perceptron."""

from mediswarm.pipelines.tabular.pipeline import TablePipeline, Tabular

__all__ = ["TablePipeline", "Tabular"]
