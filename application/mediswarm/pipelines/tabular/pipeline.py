"""Tables with a declared schema: logistic regression or a multilayer perceptron."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset
from typing_extensions import override

from mediswarm.data.findings import Finding, raise_on_failure
from mediswarm.errors import MediSwarmError
from mediswarm.models.mlp import Mlp
from mediswarm.models.standardise import Standardise
from mediswarm.pipelines.base import Cases, Site, SiteData
from mediswarm.pipelines.classification import ClassificationPipeline
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.moments import mean_and_scale, moment_counts
from mediswarm.pipelines.tabular.columns import Column, centre_and_reach, feature_names
from mediswarm.pipelines.tabular.config import SPLITS, TableConfig, TabularConfig
from mediswarm.pipelines.tabular.site_table import SiteTable, read_site_table

T = TypeVar("T", bound=TableConfig)


class TablePipeline(ClassificationPipeline[T]):
    """What pipelines on tables share: reading, checking, standardisation.

    Layout: ``<data>/<SITE>/<file>``, one row for each case.
    """

    def __init__(self, config: T, folder: Path | None = None) -> None:
        super().__init__(config, folder)
        self.class_weighting = config.class_weighting
        if config.standardise == "site":
            self.local_parameters = ("standardise.*",)

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The model's inputs, in their order."""

    @property
    @abstractmethod
    def ignored(self) -> Collection[str] | None:
        """Columns that may stand in a table unread; None where any may."""

    @property
    @override
    def classes(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.config.label.classes)

    @override
    def contract(self) -> dict[str, Any]:
        """Ordered classes and their codes, ordered columns with unit and range, standardisation."""
        return super().contract() | {
            "label": self.config.label.model_dump(mode="json"),
            "columns": [column.model_dump(mode="json") for column in self.columns],
            "standardise": self.config.standardise,
        }

    @override
    def data(self, site: Site) -> SiteData:
        table = self._read(site)
        raise_on_failure(table.findings, table.rows.file)
        train, validation, test = (_cases(table, split) for split in SPLITS)
        return SiteData(train, validation, test)

    @override
    def check(self, site: Site) -> list[Finding]:
        """One finding for each broken rule; counts of classes in each split when none is broken."""
        try:
            table = self._read(site)
        except MediSwarmError as error:
            return [Finding.of(error, "table")]
        if any(finding.status == "FAIL" for finding in table.findings):
            return table.findings
        return [*table.findings, *self._support(table)]

    @override
    def targets(self, cases: Cases) -> np.ndarray[Any, np.dtype[np.int64]]:
        values: np.ndarray[Any, np.dtype[np.int64]] = self.tensors(cases)[1].numpy()
        return values

    @override
    def statistics(self, data: SiteData) -> Counts:
        """Class counts; with federated standardisation also each feature's count, sum and sum of squares."""
        return super().statistics(data) | (
            self._moments(data) if self.config.standardise == "federated" else {}
        )

    @override
    def localise(self, model: nn.Module, data: SiteData) -> None:
        """With standardisation by site, set the site's own mean and scale."""
        if self.config.standardise == "site":
            self._standardise(model, self._moments(data))

    def prepare(self, model: nn.Module) -> None:
        """Set the agreed mean and scale in a new model, once the sites have agreed."""
        if self.config.standardise == "federated" and "moment_count" in self.totals:
            self._standardise(model, self.totals)

    def tensors(self, cases: Cases) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs float32 [n, features] and targets int64 [n] of a split."""
        if not isinstance(cases.dataset, TensorDataset):
            raise TypeError("the cases of a table are tensors")
        inputs, targets = cases.dataset.tensors
        return inputs, targets

    def _read(self, site: Site) -> SiteTable:
        return read_site_table(site.folder / self.config.file, self.config, self.columns, self.ignored)

    def _moments(self, data: SiteData) -> Counts:
        return moment_counts(self.tensors(data.train)[0], centre_and_reach(self.columns)[0])

    def _standardise(self, model: nn.Module, counts: Counts) -> None:
        layer = model.get_submodule("standardise")
        if not isinstance(layer, Standardise):
            raise TypeError("the layer `standardise` is no Standardise")
        layer.set(*mean_and_scale(counts, *centre_and_reach(self.columns)))

    def _support(self, table: SiteTable) -> list[Finding]:
        findings = []
        for split in SPLITS:
            counts = np.bincount(table.targets[table.splits == split], minlength=len(self.classes))
            shown = ", ".join(f"{name} {count:,}" for name, count in zip(self.classes, counts, strict=True))
            lacking = counts.sum() > 0 and not counts.all()
            findings.append(
                Finding("WARN" if lacking else "PASS", f"{split} rows", f"{counts.sum():,} rows: {shown}")
            )
        return findings


class Tabular(TablePipeline[TabularConfig]):
    """A table whose columns the job declares one by one."""

    Config = TabularConfig
    needs_data = True

    @property
    @override
    def columns(self) -> tuple[Column, ...]:
        return self.config.columns

    @property
    @override
    def ignored(self) -> Collection[str]:
        return self.config.ignore

    @override
    def model(self) -> Mlp:
        model = Mlp(len(feature_names(self.columns)), self.config.hidden, len(self.classes))
        self.prepare(model)
        return model


def _cases(table: SiteTable, split: str) -> Cases:
    chosen = np.flatnonzero(table.splits == split)
    inputs, targets = torch.from_numpy(table.inputs[chosen]), torch.from_numpy(table.targets[chosen])
    return Cases.of(inputs, targets, [table.rows.ids[row] for row in chosen])
