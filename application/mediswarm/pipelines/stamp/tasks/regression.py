"""A number about a patient, such as a score or an age."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn.functional import l1_loss, smooth_l1_loss
from typing_extensions import Self, override

from mediswarm.errors import DataError
from mediswarm.models.bags.rescaled import Rescaled
from mediswarm.pipelines.counts import Counts, ratio
from mediswarm.pipelines.moments import mean_and_scale, moment_counts
from mediswarm.pipelines.stamp.tasks.interface import Task, number_of, text_of
from mediswarm.spec import Strict

_STRATA = 3


class RegressionConfig(Strict):
    """One number with a unit and a range."""

    name: Literal["regression"] = Field("regression", description="one number")
    label: str = Field(description="column of the clini table", min_length=1)
    unit: str = Field(description="unit of the number, the same at all sites", min_length=1)
    minimum: float = Field(description="smallest number that is possible, in the unit")
    maximum: float = Field(description="largest number that is possible, in the unit")
    loss: Literal["huber", "l1"] = Field(
        "huber", description="on errors in global standard deviations; huber is quadratic below 1"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError(f"contradiction: minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        return self

    def build(self) -> Regression:
        """The task."""
        return Regression(self)


class Regression(Task):
    """A target is `[number]` in the declared unit.

    The network works in standard deviations about the mean of all sites' training patients,
    from summed moments; the model's output is in the unit.
    """

    def __init__(self, config: RegressionConfig) -> None:
        super().__init__()
        self.config = config
        self._centre = torch.tensor([(config.minimum + config.maximum) / 2], dtype=torch.float64)
        self._reach = torch.tensor([(config.maximum - config.minimum) / 2], dtype=torch.float64)

    @property
    @override
    def groups(self) -> tuple[int, ...]:
        return (1,)

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.config.label,)

    @override
    def contract(self) -> dict[str, Any]:
        return {"task": "regression", **self.config.model_dump(include={"label", "unit"})} | {
            "range": [self.config.minimum, self.config.maximum]
        }

    @override
    def target(self, row: Mapping[str, str]) -> list[float]:
        label = self.config.label
        number = number_of(text_of(row, label), label)
        if not self.config.minimum <= number <= self.config.maximum:
            raise DataError(
                "MS-B053",
                f"{label} is {number:g}, outside of {self.config.minimum:g} to {self.config.maximum:g} "
                f"{self.config.unit}",
            )
        return [number]

    @override
    def stratum(self, target: Sequence[float]) -> str:
        """Which third of the range."""
        share = (target[0] - self.config.minimum) / (self.config.maximum - self.config.minimum)
        return f"third {min(int(share * _STRATA), _STRATA - 1) + 1}"

    @override
    def statistics(self, targets: torch.Tensor) -> Counts:
        return moment_counts(targets.reshape(-1, 1), self._centre)

    def _mean_and_scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of all sites' training patients, [1] each; before they have agreed, of the declared range."""
        if "moment_count" not in self.totals:
            return self._centre, self._reach
        return mean_and_scale(self.totals, self._centre, self._reach)

    @override
    def finish(self, network: nn.Module) -> nn.Module:
        return Rescaled(network, *self._mean_and_scale())

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        scale = float(self._mean_and_scale()[1])
        measure = smooth_l1_loss if self.config.loss == "huber" else l1_loss
        return measure(output.float().reshape(-1) / scale, target.float().reshape(-1) / scale)

    @override
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Numbers in the unit [n]."""
        return output.float().reshape(-1)

    @property
    @override
    def reported(self) -> tuple[str, ...]:
        return ("r2", "pearson", "mae", "rmse")

    @override
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        """Moments of truths and predictions about the middle of the range, and summed errors."""
        truth = targets.double().reshape(-1) - self._centre
        said = predictions.double().reshape(-1) - self._centre
        sums = {
            "truth": truth,
            "said": said,
            "truth_truth": truth * truth,
            "said_said": said * said,
            "truth_said": truth * said,
            "error": (said - truth).abs(),
            "square_error": (said - truth).square(),
        }
        return {"cases": [float(len(truth))]} | {name: [float(values.sum())] for name, values in sums.items()}

    @override
    def metrics(self, counts: Counts) -> dict[str, float | None]:
        """R² (1 − residual / total sum of squares) and Pearson's r over the patients of all sites."""
        cases, truth, said = (counts[name][0] for name in ("cases", "truth", "said"))
        if not cases:
            return dict.fromkeys(self.reported)

        def spread(product: str, one: float, other: float) -> float:
            return counts[product][0] - one * other / cases

        # below this, sums of squares differ by their rounding alone
        least = 1e-12 * cases * float(self._reach) ** 2
        total, predicted = spread("truth_truth", truth, truth), spread("said_said", said, said)
        residual = counts["square_error"][0]
        return {
            "r2": 1 - residual / total if total > least else None,
            "pearson": spread("truth_said", truth, said) / math.sqrt(total * predicted)
            if min(total, predicted) > least
            else None,
            "mae": ratio(counts["error"][0], cases),
            "rmse": math.sqrt(residual / cases),
        }

    @override
    def prediction_columns(self) -> list[str]:
        return ["prediction"]
