"""A site's control variate for SCAFFOLD (Karimireddy et al., 2020, option II)."""

from __future__ import annotations

import torch

from mediswarm.pipelines.learner import Weights
from mediswarm.training.precision import Precision, narrow, widen


class ControlVariate:
    """c_i, this site's estimate of its own gradient; it never leaves, only its changes do."""

    def __init__(self) -> None:
        self.own: Weights = {}

    def correction(self, global_control: Weights) -> Weights:
        """Give c − c_i, to be added to every gradient of the round."""
        return {name: value - self._own(name, value) for name, value in global_control.items()}

    def renew(
        self, global_control: Weights, update: Weights, lr_sum: float, precision: Precision = "float32"
    ) -> Weights:
        """Set c_i to c_i − c − update / lr_sum, and give the change.

        Args:
            global_control: c, as received.
            update: trained minus received weights.
            lr_sum: sum of the learning rates of the round's steps (K · lr in the paper).
            precision: in which the change travels; the site takes what the others will see, so
                that the sum of all variates stays the global one.
        """
        change = {name: -value - update[name] / lr_sum for name, value in global_control.items()}
        change = widen(narrow(change, precision))
        self.own = {name: self._own(name, value) + change[name] for name, value in global_control.items()}
        return change

    def _own(self, name: str, like: torch.Tensor) -> torch.Tensor:
        return self.own.get(name, torch.zeros_like(like))
