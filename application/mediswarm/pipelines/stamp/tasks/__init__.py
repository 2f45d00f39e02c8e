"""Tasks of the pipeline `stamp`: what is asked of a patient."""

from typing import Annotated

from pydantic import Field

from mediswarm.pipelines.stamp.tasks.classification import ClassificationConfig
from mediswarm.pipelines.stamp.tasks.interface import Task
from mediswarm.pipelines.stamp.tasks.multi_target import MultiTargetConfig
from mediswarm.pipelines.stamp.tasks.regression import RegressionConfig
from mediswarm.pipelines.stamp.tasks.survival import SurvivalConfig

TaskConfig = Annotated[
    ClassificationConfig | RegressionConfig | SurvivalConfig | MultiTargetConfig, Field(discriminator="name")
]

__all__ = ["Task", "TaskConfig"]
