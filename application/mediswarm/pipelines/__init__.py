"""Pipelines: the code for one clinical question each, on one interface.

All that a developer imports comes from here.
"""

from mediswarm.pipelines.base import Cases, Pipeline, Site, SiteData
from mediswarm.pipelines.classification import ClassificationPipeline
from mediswarm.pipelines.counts import Counts, add_counts
from mediswarm.pipelines.find import BUILT_IN, load_pipeline
from mediswarm.pipelines.learner import Learner, Predictions, RoundPlan, RoundResult, Weights
from mediswarm.spec import Strict as Config

__all__ = [
    "BUILT_IN",
    "Cases",
    "ClassificationPipeline",
    "Config",
    "Counts",
    "Learner",
    "Pipeline",
    "Predictions",
    "RoundPlan",
    "RoundResult",
    "Site",
    "SiteData",
    "Weights",
    "add_counts",
    "load_pipeline",
]
