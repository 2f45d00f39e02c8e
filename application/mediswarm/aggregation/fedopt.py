"""Adaptive federated optimisation (Reddi et al., 2021)."""

from __future__ import annotations

import torch

from mediswarm.aggregation.fedavg import FedAvgStrategy
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import ServerOptimizer
from mediswarm.spec.workflow import WeightBy


class FedOptStrategy(FedAvgStrategy):
    """The mean update is the negative gradient of a server optimizer.

    With mean update d of a trainable parameter x (algorithm 2 of the paper):

    - sgd: m = momentum · m + d; x = x + lr · m
    - adam, yogi, adagrad: m = beta1 · m + (1 − beta1) · d; x = x + lr · m / (√v + tau), where
      adam: v = beta2 · v + (1 − beta2) · d²; yogi: v = v − (1 − beta2) · d² · sign(v − d²);
      adagrad: v = v + d²; v starts at tau².

    Buffers, such as running statistics, are averaged.
    """

    def __init__(
        self, weights: Weights, trainable: set[str], weigh_by: WeightBy, optimizer: ServerOptimizer
    ) -> None:
        super().__init__(weights, trainable, weigh_by)
        self.optimizer = optimizer
        self.first: Weights = {}
        self.second: Weights = {}

    def state(self) -> Weights:
        return {f"first.{name}": value for name, value in self.first.items()} | {
            f"second.{name}": value for name, value in self.second.items()
        }

    def restore(self, state: Weights) -> None:
        for key, value in state.items():
            moment, _, name = key.partition(".")
            (self.first if moment == "first" else self.second)[name] = value

    def step(self, update: Weights) -> Weights:
        return {
            name: self._move(name, value, update[name]) if name in self.trainable else value + update[name]
            for name, value in self.weights.items()
        }

    def _move(self, name: str, value: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        spec = self.optimizer
        if spec.name == "sgd":
            self.first[name] = spec.momentum * self.first.get(name, torch.zeros_like(delta)) + delta
            return value + spec.lr * self.first[name]
        first = self.first.get(name, torch.zeros_like(delta))
        self.first[name] = spec.beta1 * first + (1 - spec.beta1) * delta
        self.second[name] = self._second(
            self.second.get(name, torch.full_like(delta, spec.tau**2)), delta.square()
        )
        return value + spec.lr * self.first[name] / (self.second[name].sqrt() + spec.tau)

    def _second(self, second: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        spec = self.optimizer
        if spec.name == "adam":
            return spec.beta2 * second + (1 - spec.beta2) * square
        if spec.name == "yogi":
            return second - (1 - spec.beta2) * square * torch.sign(second - square)
        return second + square
