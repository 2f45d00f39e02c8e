"""Weights whose channels lie last in memory are the same weights, and the model the same model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from mediswarm.models.cnn3d import Cnn3d
from mediswarm.pipelines import Cases, SiteData
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig
from mediswarm.spec import Training
from mediswarm.training.channels_last import channels_last
from mediswarm.training.torch_learner import TorchLearner


def volume_learner() -> TorchLearner:
    config = {"input_size": [9, 10, 11], "backbone": {"name": "cnn3d", "width": 4}}
    cases = Cases.of(torch.randn(4, 1, 9, 10, 11), torch.tensor([0, 1, 2, 0]))
    training = Training.model_validate({"batch_size": 2, "optimizer": {"name": "adamw", "lr": 1e-3}})
    return TorchLearner(Odelia(OdeliaConfig.model_validate(config)), SiteData(cases, cases, cases), training)


def test_outputs_and_gradients_stay_and_3d_convolutions_alone_change() -> None:
    torch.manual_seed(0)
    plain = Cnn3d(2, 3, width=8)
    plain.extend = nn.ConvTranspose3d(2, 2, 3, padding=1)
    plain.flat = nn.Conv2d(2, 2, 3)
    changed = copy.deepcopy(plain)
    channels_last(changed)
    layout: Any = torch.channels_last_3d
    for name, module in changed.named_modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            assert module.weight.is_contiguous(memory_format=layout), name
        elif isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.is_contiguous(), name
    inner = changed.get_submodule("blocks.1.0")
    assert inner(torch.randn(2, 8, 6, 6, 6)).is_contiguous(memory_format=layout)
    volumes = torch.randn(4, 2, 9, 10, 11)
    for model in (plain, changed):
        model(model.get_submodule("extend")(volumes)).square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), changed.parameters(), strict=True):
        assert torch.equal(one, other), name
        if one.grad is not None:
            assert other.grad is not None
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("moved", [True, False])
def test_what_a_learner_gives_away_lies_in_the_usual_order(moved: bool, make_plan: Any) -> None:
    """So that files and messages need not know of it; and the weights that come back keep the layout."""
    learner = volume_learner()
    if moved:
        channels_last(learner.model)
    learner.train(make_plan())
    given = learner.weights()
    assert all(value.is_contiguous() for value in given.values())
    learner.load(given)
    weight = dict(learner.model.named_parameters())["blocks.1.0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last_3d) == moved
