"""How long until an event, with patients who were not followed until then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from mediswarm.errors import DataError
from mediswarm.pipelines.counts import Counts, ratio
from mediswarm.pipelines.stamp.cox import (
    cox_loss,
    federated_breslow_loss,
    intervals_of,
    pooled_loss,
    risk_sums,
)
from mediswarm.pipelines.stamp.tasks.interface import Task, number_of, text_of
from mediswarm.pipelines.stamp.tasks.survival_curves import RiskGroups, concordance_counts, exit_counts
from mediswarm.spec import Strict

_STATUS = {
    **dict.fromkeys(("dead", "event", "yes", "1", "1.0"), 1.0),
    **dict.fromkeys(("alive", "censored", "no", "0", "0.0"), 0.0),
}


class SurvivalConfig(Strict):
    """A time and a status."""

    name: Literal["survival"] = Field("survival", description="time to an event")
    time: str = Field(description="column of the clini table with the time of follow-up", min_length=1)
    status: str = Field(
        description="column with the status: dead, event, yes, 1; or alive, censored, no, 0", min_length=1
    )
    unit: Literal["days", "weeks", "months", "years"] = Field(
        description="unit of the time, the same at all sites"
    )
    censored_after: PositiveFloat = Field(
        description="time, in the unit, after which every patient is censored, at all sites alike"
    )
    intervals: PositiveInt = Field(
        20,
        le=1000,
        description="equal parts of that time, in which events and patients at risk are counted",
    )

    risk_set: Literal["site", "federation"] = Field(
        "site",
        description="whom training compares a patient who has an event with: `site`: patients of the same "
        "batch, and so of the same site; `federation`: all patients of all sites, through risks summed in "
        "the intervals, which takes one more exchange in each round",
    )

    def build(self) -> Survival:
        """The task."""
        return Survival(self)


class Survival(Task):
    """Cox's proportional hazards; a target is `[time, 1 for an event or 0]`, the prediction a log risk.

    Trained with the partial likelihood within a batch of one site, thus stratified by site, see
    :func:`mediswarm.pipelines.stamp.cox.cox_loss`, or with that of all sites pooled, see
    :func:`mediswarm.pipelines.stamp.cox.federated_breslow_loss`. Pairs of the c-index are compared within a
    site. The other metrics are of all sites together, from counts in time intervals: with few
    patients, a count may be of one patient.
    """

    def __init__(self, config: SurvivalConfig) -> None:
        super().__init__()
        self.config = config
        ends = torch.arange(1, config.intervals + 1, dtype=torch.float64) * config.censored_after
        self.grid = ends / config.intervals

    @property
    @override
    def groups(self) -> tuple[int, ...]:
        return (1,)

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.config.time, self.config.status)

    @override
    def contract(self) -> dict[str, Any]:
        config = self.config
        return {
            "task": "survival",
            "label": [config.time, config.status],
            "unit": config.unit,
            "censored_after": config.censored_after,
        }

    @override
    def target(self, row: Mapping[str, str]) -> list[float]:
        config = self.config
        time = number_of(text_of(row, config.time), config.time)
        if time < 0:
            raise DataError("MS-B054", f"{config.time} is {time:g} {config.unit}")
        text = text_of(row, config.status)
        event = _STATUS.get(text.lower())
        if event is None:
            raise DataError("MS-B055", f"{config.status} is {text!r}")
        return [time, event] if time <= config.censored_after else [config.censored_after, 0.0]

    @override
    def stratum(self, target: Sequence[float]) -> str:
        return "event" if target[1] else "censored"

    @property
    @override
    def expected(self) -> tuple[str, ...]:
        return ("event",)

    @property
    @override
    def smallest_batch(self) -> int:
        """Three: of batches of two, an odd number of patients leaves one, who is compared with nobody."""
        return 3

    @override
    def statistics(self, targets: torch.Tensor) -> Counts:
        """`events`, by which a job may weigh sites, and `cases`."""
        return {"events": [float(targets[:, 1].sum())], "cases": [float(len(targets))]}

    @property
    @override
    def sums_each_round(self) -> bool:
        return self.config.risk_set == "federation"

    @override
    def round_statistics(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        """Events and risk sums in the intervals, and `cases`."""
        sums = risk_sums(predictions.reshape(-1), targets[:, 0], targets[:, 1], self.grid)
        return sums | {"cases": [float(len(targets))]}

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Per event. Within a site, weighted by events, sites add up; 0 of a batch without an event."""
        log_risk, time, event = output.reshape(-1), target[:, 0], target[:, 1]
        if self.round_totals:
            own = self.own_round_statistics
            return federated_breslow_loss(log_risk, time, event, self.grid, self.round_totals, own)
        return cox_loss(log_risk, time, event)

    @override
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Log risks [n], up to a constant."""
        return output.float().reshape(-1)

    @property
    @override
    def reported(self) -> tuple[str, ...]:
        return (
            "c_index",
            "cox_loss",
            "risk_cut_off",
            "log_rank_chi2",
            "log_rank_p",
            "survival_low_risk",
            "survival_high_risk",
            "events",
        )

    @property
    @override
    def qualities(self) -> tuple[str, ...]:
        return ("c_index", "cox_loss", "log_rank_chi2", "log_rank_p")

    @override
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        log_risk, time, event = predictions.reshape(-1), targets[:, 0], targets[:, 1]
        interval = intervals_of(time, self.grid)
        return {
            "cases": [float(len(targets))],
            **concordance_counts(log_risk.numpy(), time.numpy(), event.numpy()),
            **exit_counts(log_risk.numpy(), interval.numpy(), event.numpy(), len(self.grid)),
            **risk_sums(log_risk, time, event, self.grid),
        }

    @override
    def metrics(self, counts: Counts) -> dict[str, float | None]:
        """Concordance; the partial likelihood of all sites pooled; those of lower and higher risk compared.

        `survival_…` are Kaplan and Meier's estimates at the end of follow-up.
        """
        groups = RiskGroups.of(counts)
        tested = groups.log_rank()
        low, high = (float(curve[-1]) for curve in groups.survival())
        return {
            "c_index": ratio(counts["concordant"][0], counts["comparable"][0]),
            "cox_loss": pooled_loss(counts),
            "risk_cut_off": groups.cut_off,
            "log_rank_chi2": tested[0] if tested else None,
            "log_rank_p": tested[1] if tested else None,
            "survival_low_risk": None if math.isnan(low) else low,
            "survival_high_risk": None if math.isnan(high) else high,
            "events": sum(counts["events"]),
        }

    @override
    def prediction_columns(self) -> list[str]:
        return ["log_risk"]
