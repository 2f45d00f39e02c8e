"""What crosses in a swarm run, beside the site's own contribution."""

from __future__ import annotations

from dataclasses import dataclass, field

from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.learner import Weights

MODEL_TOPIC, UPDATE_TOPIC = "mediswarm.model", "mediswarm.update"


@dataclass(frozen=True)
class SwarmOrder:
    """The server's order to a site; it holds no weights.

    `model` is the number of the model to take (and in `contribute` to train),
    `holder` the site that has it, `aggregator` who collects the round's
    updates. `promote` is the value of the selection metric of the model taken
    before this one when that was the best so far. `round_totals` are the summed counts of
    the sites that have taken and measured the model already.
    """

    model: int
    holder: str
    totals: Counts
    aggregator: str = ""
    promote: float | None = None
    keep_predictions: bool = False
    round_totals: Counts = field(default_factory=dict)


@dataclass(frozen=True)
class SwarmReport:
    """A site's report to the server on its contribution, without the update.

    `received` is the digest of the model it trained from. Bytes are those of
    the model it took and the update it gave to other sites.
    """

    round: int
    cases: int
    steps: int
    loss: float
    weight: float
    received: str
    metrics: Counts
    seconds: dict[str, float]
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class AggregateOrder:
    """The server's order to the aggregator to end a round with the updates of `sites`.

    `promote` is the value of the selection metric of the model the round received, when that is the best.
    """

    round: int
    sites: tuple[str, ...]
    promote: float | None = None


@dataclass(frozen=True)
class Aggregated:
    """The aggregator's answer: whether a trainable parameter changed, and the new model's digest."""

    changed: bool
    digest: str


@dataclass(frozen=True)
class ModelRequest:
    """A site asks a peer for model number `model`; the aggregator for the `master` in full precision."""

    model: int
    master: bool = False


@dataclass(frozen=True)
class ModelReply:
    """A peer's model, none while it is not there yet; with the metric's value if it is the best."""

    weights: Weights | None
    value: float | None = None


@dataclass(frozen=True)
class UpdateReply:
    """The aggregator's receipt: the weight the update was given, or none while it is not ready."""

    weight: float | None
