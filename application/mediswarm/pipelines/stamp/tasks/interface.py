"""The task interface: one question put to a patient, whatever the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mediswarm.errors import DataError
from mediswarm.pipelines.counts import Counts


class Task(ABC):
    """What is asked of a patient's bag: the label, the loss, how predictions are judged.

    Everything that must be equal at all sites comes from the job's section or from
    summed statistics; nothing is inferred from a site's table. Targets and predictions
    are float32 `[n, …]`; a target has the numbers that :meth:`target` gives for a row.
    """

    def __init__(self) -> None:
        self.totals: Counts = {}
        self.round_totals: Counts = {}
        self.own_round_statistics: Counts = {}

    @property
    @abstractmethod
    def groups(self) -> tuple[int, ...]:
        """Numbers that the network gives for each target of a patient; one target for most tasks."""

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for a patient, target after target."""
        return sum(self.groups)

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Columns of the clini table that :meth:`target` reads."""

    @abstractmethod
    def contract(self) -> dict[str, Any]:
        """What must be equal at all sites: categories in order, units, censoring (JSON values)."""

    @abstractmethod
    def target(self, row: Mapping[str, str]) -> list[float]:
        """The target of a patient from the texts of its row.

        Raises:
            DataError: MS-B050 to MS-B055 when a text breaks a rule; the caller knows the file and line.
        """

    @abstractmethod
    def stratum(self, target: Sequence[float]) -> str:
        """Patients of one stratum are spread evenly over a site's splits."""

    @property
    def expected(self) -> tuple[str, ...]:
        """Strata without which a site has little to learn from, or to judge by."""
        return ()

    @abstractmethod
    def statistics(self, targets: torch.Tensor) -> Counts:
        """Counts of a site's training targets whose sum over sites :meth:`agree` receives."""

    @property
    def smallest_batch(self) -> int:
        """The smallest `training.batch_size` with which something is learned from every batch."""
        return 1

    def agree(self, totals: Counts) -> None:
        """Receive the summed statistics of all sites, before the first model is made."""
        self.totals = totals

    @property
    def sums_each_round(self) -> bool:
        """Whether training needs :meth:`round_statistics` of all sites."""
        return False

    def round_statistics(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        """Counts of a site's training patients under the model that a round begins with."""
        return {}

    def agree_on_round(self, totals: Counts, own: Counts) -> None:
        """Receive the summed round statistics of all sites, and the site's own; both empty after training."""
        self.round_totals, self.own_round_statistics = totals, own

    def finish(self, network: nn.Module) -> nn.Module:
        """`network` with what the task puts behind its outputs; itself for most tasks."""
        return network

    @abstractmethod
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch [scalar] on one scale at every site."""

    @abstractmethod
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Predictions [n, …] from outputs [n, outputs]: probabilities, values, log risks."""

    @property
    @abstractmethod
    def reported(self) -> tuple[str, ...]:
        """Names of all metrics that :meth:`metrics` gives."""

    @property
    def qualities(self) -> tuple[str, ...]:
        """Those by which a model can be selected."""
        return self.reported

    @abstractmethod
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        """Summable counts of a whole split, from which the metrics follow."""

    @abstractmethod
    def metrics(self, counts: Counts) -> dict[str, float | None]:
        """Metrics from counts of one site or of their sum; None where undefined."""

    @abstractmethod
    def prediction_columns(self) -> list[str]:
        """Column names of a row of predictions."""


def text_of(row: Mapping[str, str], column: str) -> str:
    """The text of a row in `column`, without spaces around it.

    Raises:
        DataError: MS-B050 when it is empty.
    """
    text = row[column].strip()
    if not text:
        raise DataError("MS-B050", f"the patient has no {column}")
    return text


def category_of(text: str, column: str, categories: Sequence[str]) -> int:
    """The place of `text` among the job's ordered categories.

    Raises:
        DataError: MS-B051 when it is none of them, spelt exactly so.
    """
    if text not in categories:
        raise DataError(
            "MS-B051",
            f"{column} is {text!r}, which is none of the job's categories",
            repair=f"Write {' or '.join(categories)}, spelt so.",
        )
    return categories.index(text)


def number_of(text: str, column: str) -> float:
    """`text` as a finite number.

    Raises:
        DataError: MS-B052 when it is none.
    """
    try:
        # Python also takes 1_000 and other scripts' digits, which no table means
        number = float(text) if text.isascii() and "_" not in text else float("nan")
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise DataError("MS-B052", f"{column} is {text!r}, which is no finite number")
    return number
