"""The STAMP pipeline: what a patient has, by the features of all of its slides."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from mediswarm.data.bags.bag_dataset import BagDataset, RandomBags
from mediswarm.data.findings import Finding, raise_on_failure
from mediswarm.errors import DataError
from mediswarm.pipelines.base import Cases, Pipeline, Site, SiteData
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.stamp.cohort import Cohort
from mediswarm.pipelines.stamp.config import StampConfig

log = logging.getLogger(__name__)


class Stamp(Pipeline[StampConfig]):
    """Bags of features, a model over them, and the task that the job sets.

    A case is a patient. Training sees `bag_size` of its tiles, others in each epoch; judgement
    sees all of them, one patient at a time.
    """

    Config = StampConfig
    needs_data = True
    judged_at_once = 1

    def __init__(self, config: StampConfig, folder: Path | None = None) -> None:
        super().__init__(config, folder)
        self.task = config.task.build()

    @override
    def contract(self) -> dict[str, Any]:
        """The task's own part, and the features that every file must hold."""
        return self.task.contract() | {"features": self.config.features.model_dump(mode="json")}

    @override
    def statistics(self, data: SiteData) -> Counts:
        """The task's, from the tables: no bag is read."""
        bags = data.train.dataset
        if not isinstance(bags, BagDataset):
            raise TypeError("the cases of this pipeline are bags")
        return self.task.statistics(bags.targets)

    @override
    def agree(self, totals: Counts) -> None:
        super().agree(totals)
        self.task.agree(totals)

    @property
    @override
    def sums_each_round(self) -> bool:
        return self.task.sums_each_round

    @override
    def round_statistics(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        return self.task.round_statistics(predictions, targets)

    @override
    def agree_on_round(self, totals: Counts, own: Counts) -> None:
        self.task.agree_on_round(totals, own)

    @override
    def data(self, site: Site) -> SiteData:
        """Tables and headers of all files are read and checked now, features when a case is asked for.

        Raises:
            DataError: MS-D002, MS-D003, MS-D101 to MS-D115, or of series B: the first rule that is broken.
        """
        cohort = self._cohort(site, judged=False)
        train, validation, test = cohort.cases()
        return SiteData(train, validation, test, cohort.measured())

    def patients(self, site: Site) -> Cohort:
        """All patients of a site who have a row and features, in no split; targets are NaN without a label.

        Raises:
            DataError: as :meth:`data`, but for what is about splits, and for patients without any label.
        """
        return self._cohort(site, judged=True)

    def _cohort(self, site: Site, *, judged: bool) -> Cohort:
        cohort = Cohort.read(site, self.config, self.task, judged=judged)
        raise_on_failure(cohort.findings)
        for finding in cohort.findings:
            if finding.status == "WARN":
                where = f" ({finding.file})" if finding.file else ""
                log.warning("site %s: %s: %s%s", site.name, finding.code, finding.message, where)
        return cohort

    @override
    def check(self, site: Site) -> list[Finding]:
        """Every rule, with all features of all files read; one finding for each broken rule."""
        try:
            return Cohort.read(site, self.config, self.task, numbers=True).findings
        except DataError as error:
            return [Finding.of(error, "tables")]

    @property
    @override
    def smallest_batch(self) -> int:
        return self.task.smallest_batch

    @override
    def model(self) -> nn.Module:
        network = self.config.model.build(self.config.features.dimension, self.task.groups)
        return self.task.finish(network)

    @override
    def example(self, count: int) -> Cases:
        """Bags of `bag_size` tiles, or of one slide's or patient's own features."""
        features = self.config.features
        tiles = self.config.bag_size if features.level == "tile" else 1
        bags = RandomBags(count, tiles, features.dimension, len(self.task.columns))
        return Cases(bags, [str(number) for number in range(count)])

    @override
    def loss(self, output: Any, target: torch.Tensor) -> torch.Tensor:
        return self.task.loss(output, target)

    @override
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        return self.task.predict(output)

    @property
    @override
    def reported(self) -> tuple[str, ...]:
        return self.task.reported

    @property
    @override
    def qualities(self) -> tuple[str, ...]:
        return self.task.qualities

    @override
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        return self.task.count(predictions, targets)

    @override
    def metrics(self, counts: Counts) -> dict[str, float | None]:
        return self.task.metrics(counts)

    @override
    def prediction_columns(self) -> list[str]:
        return self.task.prediction_columns()

    @override
    def target_columns(self) -> list[str]:
        """`target`, or one for each column of the clinical table where the task reads several."""
        columns = self.task.columns
        return ["target"] if len(columns) == 1 else [f"target_{column}" for column in columns]
