"""SCAFFOLD's control variate is the site's mean gradient of the round (option II of the paper)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mediswarm.training.control_variate import ControlVariate
from mediswarm.training.shared_weights import difference


def test_after_a_round_it_is_the_mean_gradient(problem: Any, make_plan: Any) -> None:
    learner, variate = problem.learner(schedule={"name": "linear"}), ControlVariate()
    received = {"weight": torch.tensor([[0.2, -0.4, 1.0]])}
    for control in ({"weight": torch.zeros(1, 3)}, {"weight": torch.tensor([[0.5, -1.0, 0.1]])}):
        before = variate.own.get("weight", torch.zeros(1, 3)).clone()
        learner.load(received)
        result = learner.train(make_plan(control=variate.correction(control)))
        change = variate.renew(control, difference(learner.weights(), received), result.lr_sum)

        weights, gradients, rates = received["weight"][0].double().numpy().copy(), [], []
        for step in range(3):
            rates.append(0.1 * (1 - step / 3))
            gradients.append(problem.gradient(weights))
            correction = (control["weight"] - before)[0].double().numpy()
            weights -= rates[-1] * (gradients[-1] + correction)
        mean = np.average(gradients, axis=0, weights=rates)
        np.testing.assert_allclose(learner.weights()["weight"][0].numpy(), weights, atol=1e-5)
        np.testing.assert_allclose(variate.own["weight"][0].numpy(), mean, atol=1e-4)
        np.testing.assert_allclose((before + change["weight"])[0].numpy(), mean, atol=1e-4)


def test_the_first_correction_is_the_global_variate() -> None:
    control = {"w": torch.tensor([1.0, 2.0])}
    assert ControlVariate().correction(control)["w"].tolist() == [1.0, 2.0]
