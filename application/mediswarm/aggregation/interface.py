"""The interface of a strategy: how a round's contributions become the next model."""

from __future__ import annotations

from abc import ABC, abstractmethod

from mediswarm.errors import ContractError
from mediswarm.pipelines.learner import Weights
from mediswarm.spec.workflow import WeightBy
from mediswarm.training.crossing import Contribution


class Strategy(ABC):
    """Holds the shared model between rounds. Used: (`add`* `commit`)*."""

    def __init__(self, weights: Weights, trainable: set[str]) -> None:
        """`weights` are the shared ones of the initial model, `trainable` its parameters' names."""
        self.weights = weights
        self.trainable = trainable & weights.keys()

    def control(self) -> Weights | None:
        """What is sent beside the weights (SCAFFOLD's control variate)."""
        return None

    def state(self) -> Weights:
        """What the next round needs beside the weights, such as a server optimizer's moments."""
        return {}

    def restore(self, state: Weights) -> None:  # noqa: B027 - plain averaging has no state
        """Continue from what :meth:`state` gave in another process."""

    @abstractmethod
    def add(self, contribution: Contribution) -> float:
        """Take one site's contribution; gives the weight it received.

        Raises:
            ContractError: MS-C003 or MS-C005; nothing of the contribution is taken then.
        """

    @abstractmethod
    def commit(self) -> None:
        """End the round: `weights` become the next model's."""


def weight_of(contribution: Contribution, by: WeightBy) -> float:
    """The weight of a contribution under the job's rule.

    Raises:
        ContractError: MS-C005 when the job weighs by events and the pipeline counts none.
    """
    if by == "cases":
        return float(contribution.cases)
    if by == "steps":
        return float(contribution.steps)
    if by == "uniform":
        return 1.0
    if contribution.events is None:
        raise ContractError(
            "MS-C005", "workflow.weights is events, but the pipeline's statistics count no `events`"
        )
    return contribution.events
