"""The learner interface: what trains a pipeline's model at one site.

:class:`mediswarm.training.torch_learner.TorchLearner` serves every PyTorch
model. A pipeline for which it does not fit (scikit-learn, nnU-Net) returns its
own from :meth:`mediswarm.pipelines.base.Pipeline.learner`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mediswarm.errors import ContractError

if TYPE_CHECKING:
    from torch import nn

    from mediswarm.pipelines.base import Cases

Weights = dict[str, torch.Tensor]
"""Parameters and buffers by name, on the CPU."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class RoundPlan:
    """What a learner is asked to do in one round.

    `control` (SCAFFOLD) is added to each gradient, by parameter name.
    `stop` is asked between steps; when it answers True the learner returns early.
    """

    round: int
    rounds: int
    seed: int
    proximal_mu: float = 0.0
    control: Weights | None = None
    stop: Callable[[], bool] = _never


@dataclass(frozen=True)
class RoundResult:
    """What a learner did in one round.

    `loss` is the mean training loss per case; `lr_sum` the sum of the learning
    rates of all steps (for SCAFFOLD's control variates).
    """

    steps: int
    cases: int
    loss: float
    lr_sum: float = 0.0


@dataclass(frozen=True)
class Predictions:
    """A model's answers for the cases of one split, in the cases' order.

    `outputs` are what :meth:`Pipeline.predict` returned, float32 `[n, …]`;
    `targets` `[n, …]`; `loss` is the mean loss per case.
    """

    outputs: torch.Tensor
    targets: torch.Tensor
    loss: float


class Learner(ABC):
    """Holds one model at one site."""

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Replace the named parameters; those not named stay as they are.

        Raises:
            ContractError: MS-C003 when a name or shape is not the model's.
        """

    @abstractmethod
    def weights(self) -> Weights:
        """All parameters and buffers, on the CPU, not to be written to."""

    @abstractmethod
    def train(self, plan: RoundPlan) -> RoundResult:
        """Train one round from the present weights on the site's training cases."""

    @abstractmethod
    def predict(self, cases: Cases) -> Predictions:
        """Judge cases in evaluation mode, without augmentation."""

    def state(self) -> Weights:
        """What the next round needs beside the weights, such as an optimizer's moments; may be empty."""
        return {}

    def restore(self, state: Weights) -> None:  # noqa: B027 - most learners have no state
        """Continue from what :meth:`state` gave in another process."""

    def close(self) -> None:  # noqa: B027 - most learners hold nothing that must be released
        """Release workers and device memory."""


def load_state(model: nn.Module, weights: Weights) -> None:
    """Copy `weights` into the parameters and buffers of `model` that they name.

    Raises:
        ContractError: MS-C003 when a name or shape is not the model's.
    """
    own = model.state_dict()
    for name, value in weights.items():
        if name not in own or own[name].shape != value.shape:
            have = tuple(own[name].shape) if name in own else "no such parameter"
            raise ContractError(
                "MS-C003", f"received {name} of shape {tuple(value.shape)}; the model has {have}"
            )
    for name, value in weights.items():
        own[name].copy_(value)
