"""L1-penalised logistic regression over a wide table, such as a transcriptome."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, model_validator
from typing_extensions import Self, override

from mediswarm.pipelines.base import Site, SiteData
from mediswarm.pipelines.linear.features import read_features
from mediswarm.pipelines.linear.learner import SagaLearner
from mediswarm.pipelines.linear.model import LinearModel
from mediswarm.pipelines.tabular import TablePipeline
from mediswarm.pipelines.tabular.columns import Column, NumericColumn
from mediswarm.pipelines.tabular.config import TableConfig
from mediswarm.spec import Training
from mediswarm.spec.digest import sha256_of_json


class LinearConfig(TableConfig):
    """The `config:` section of the pipeline `linear`."""

    file: str = Field("expression.csv", description="the table in the site's folder, one row for each sample")
    features: str = Field(description="file in the job's folder with the name of one column on each line")
    unit: str = Field(description="the unit of every feature, such as `log2(TPM + 1)`")
    range: tuple[float, float] = Field(description="lowest and highest plausible value of every feature")
    l1: PositiveFloat = Field(0.01, description="strength of the L1 penalty beside the mean loss of a case")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise ValueError("contradiction: the range starts at or above its end")
        return self


class Linear(TablePipeline[LinearConfig]):
    """The job names the features; whatever else the table holds is not read."""

    Config = LinearConfig
    needs_data = True

    def __init__(self, config: LinearConfig, folder: Path | None = None) -> None:
        """Raises JobError MS-J007, MS-J011 or MS-D221 when the list of features is not usable."""
        super().__init__(config, folder)
        self.features = read_features(folder, config.features)

    @override
    @cached_property
    def columns(self) -> tuple[Column, ...]:
        config = self.config
        return tuple(
            NumericColumn(type="numeric", name=name, unit=config.unit, range=config.range)
            for name in self.features
        )

    @property
    @override
    def ignored(self) -> Collection[str] | None:
        return None

    @override
    def contract(self) -> dict[str, Any]:
        """Ordered classes and their codes, number and digest of the ordered features, unit and range."""
        return {
            "classes": list(self.classes),
            "label": self.config.label.model_dump(mode="json"),
            "features": {"count": len(self.features), "sha256": sha256_of_json(list(self.features))},
            "unit": self.config.unit,
            "range": list(self.config.range),
            "standardise": self.config.standardise,
        }

    @override
    def model(self) -> LinearModel:
        model = LinearModel(len(self.features), len(self.classes))
        self.prepare(model)
        return model

    @override
    def learner(self, data: SiteData, training: Training, site: Site) -> SagaLearner:
        return SagaLearner(self, data, training)
