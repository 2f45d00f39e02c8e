"""Everything that crosses between a site and the others, and nothing else does.

Named tensors, counts, declared metrics, and stable codes. Case ids, paths and
raw exception texts have no field here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from mediswarm.errors import RunFailed
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.learner import Weights
from mediswarm.training.tensor_views import Tensors


@dataclass(frozen=True)
class Introduction:
    """What a site says before its first round, so that all can be compared.

    `image` is the container image it runs, where it runs in one; `held` the
    numbers of the models `last` and `best` that a swarm's site has on disk.
    """

    job_hash: str
    versions: dict[str, str]
    contract: dict[str, Any]
    cases: dict[str, int]
    statistics: Counts
    metrics: tuple[str, ...]
    image: str = ""
    held: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What the others ask of a site in one round.

    `weights` are those of the shared model, in the exchange's precision, or None for those
    that came with the round's :class:`MeasureOrder`; `totals` the summed statistics of all
    sites; `control` SCAFFOLD's global control variate; `round_totals` the summed answers to
    the MeasureOrder, empty where the pipeline needs none.
    """

    round: int
    weights: Weights | None
    totals: Counts
    control: Weights | None = None
    validate: bool = True
    round_totals: Counts = field(default_factory=dict)


@dataclass(frozen=True)
class Contribution:
    """What one site did in one round.

    `update` is the trained model minus the received one; `control` the change
    of the site's control variate. `metrics` are counts on the site's
    validation cases for the model *received*, empty when it was not asked to
    validate; `seconds` by phase, measuring as part of `validate`; `received_bytes` and `sent_bytes` those of
    the tensors as they travelled.
    """

    round: int
    cases: int
    steps: int
    loss: float
    update: Tensors
    events: float | None = None
    control: Tensors | None = None
    metrics: Counts = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True)
class MeasureOrder:
    """What the others ask of a site before a round whose loss needs sums over all sites."""

    round: int
    weights: Weights
    totals: Counts


@dataclass(frozen=True)
class Measured:
    """Counts of a site's training cases under the model that the round begins with."""

    statistics: Counts

    def __post_init__(self) -> None:
        """Raises RunFailed MS-R004 for what would make the sum over the sites no finite number."""
        if not all(math.isfinite(value) for values in self.statistics.values() for value in values):
            raise RunFailed("MS-R004", "what was counted of the training cases is no finite number")


@dataclass(frozen=True)
class Judgement:
    """Counts of one model at one site: on its validation cases, and on its test cases when asked."""

    validation: Counts
    test: Counts = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class JudgeOrder:
    """What the others ask of a site that judges a model; no weights mean the model it holds."""

    weights: Weights | None
    totals: Counts
    keep_predictions: bool
