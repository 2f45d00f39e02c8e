"""What the report says about the run itself, beside the results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

ALL_SITES = "all sites"


@dataclass(frozen=True)
class Point:
    """A value at one site, or over all sites (:data:`ALL_SITES`); None where undefined.

    `rounds` counts the rounds done before: model 0 is the initial one.
    """

    rounds: int
    site: str
    metric: str
    value: float | None


@dataclass(frozen=True)
class ContributionLine:
    """What one site did in one round.

    `round` counts from 0, as in the run record. `weight` is the one that the
    site's update received, `loss` the mean training loss per case, `left_out`
    the reason why the site did not count in the round.
    """

    round: int
    site: str
    cases: int
    steps: int
    weight: float
    loss: float | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class RunFacts:
    """One run, as its report names it.

    `metric` is the selection metric and `best_model` the model it chose, by the
    number of rounds behind it; `seconds` are by phase, in order. `progress`
    holds the selection metric of each model on validation cases.
    """

    job: str
    job_hash: str
    description: str
    pipeline: str
    workflow: str
    rounds: int
    sites: tuple[str, ...]
    classes: tuple[str, ...]
    metric: str
    best_model: int
    seconds: dict[str, float]
    version: str
    finished: datetime
    progress: tuple[Point, ...] = ()
    contributions: tuple[ContributionLine, ...] = ()
