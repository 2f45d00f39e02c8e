"""Figures of the report, as SVG that follows the page's colours, light or dark."""

from mediswarm.evaluation.plots.comparison import comparison_plot
from mediswarm.evaluation.plots.legend import site_legend
from mediswarm.evaluation.plots.lines import loss_plot, metric_plot
from mediswarm.evaluation.plots.roc import roc_plot
from mediswarm.evaluation.plots.support import support_plot

__all__ = ["comparison_plot", "loss_plot", "metric_plot", "roc_plot", "site_legend", "support_plot"]
