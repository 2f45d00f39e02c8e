"""A pipeline whose training can be computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mediswarm.pipelines import Cases, Config, Counts, Pipeline, RoundPlan, Site, SiteData
from mediswarm.spec import Training
from mediswarm.training.torch_learner import TorchLearner


class LeastSquares(Pipeline[Config]):
    """y = x · w without bias; loss ½ (x · w − y)², whose gradient is Xᵀ(Xw − y) / n."""

    Config = Config

    def __init__(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        super().__init__(Config())
        self.inputs, self.targets = inputs, targets

    def contract(self) -> dict[str, Any]:
        return {}

    def data(self, site: Site) -> SiteData:
        cases = Cases.of(
            torch.tensor(self.inputs, dtype=torch.float32), torch.tensor(self.targets, dtype=torch.float32)
        )
        return SiteData(cases, cases, cases)

    def model(self) -> nn.Module:
        model = nn.Linear(self.inputs.shape[1], 1, bias=False)
        nn.init.zeros_(model.weight)
        return model

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (output[:, 0] - target).square().mean() / 2

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        return output[:, 0]

    @property
    def reported(self) -> tuple[str, ...]:
        return ("mse",)

    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        return {"squares": [float((predictions - targets).square().sum())], "cases": [float(len(targets))]}

    def metrics(self, counts: Counts) -> dict[str, float | None]:
        return {"mse": counts["squares"][0] / counts["cases"][0]}


class Problem:
    """A least-squares problem of 12 cases, its learner, and its gradient in NumPy."""

    def __init__(self, cases: int = 12) -> None:
        random = np.random.default_rng(3)
        self.x = random.normal(size=(cases, 3))
        self.y = self.x @ np.array([1.0, -2.0, 0.5]) + random.normal(scale=0.1, size=cases)
        self.pipeline = LeastSquares(self.x, self.y)

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.x.T @ (self.x @ weights - self.y) / len(self.x))

    def learner(self, **training: Any) -> TorchLearner:
        """A learner that takes whole-data SGD steps unless told otherwise."""
        plain = {
            "batch_size": len(self.x),
            "local": {"steps": 3},
            "optimizer": {"name": "sgd", "lr": 0.1},
        }
        return TorchLearner(
            self.pipeline, self.pipeline.data(Site("a")), Training.model_validate(plain | training)
        )


@pytest.fixture
def problem() -> Problem:
    return Problem()


def plan(round_: int = 0, rounds: int = 1, **more: Any) -> RoundPlan:
    return RoundPlan(round=round_, rounds=rounds, seed=7, **more)


@pytest.fixture
def make_plan() -> Any:
    return plan


@pytest.fixture
def make_problem() -> type[Problem]:
    return Problem
