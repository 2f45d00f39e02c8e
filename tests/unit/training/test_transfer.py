"""Freezing and learning rates by pattern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mediswarm.errors import JobError
from mediswarm.pipelines import RoundPlan, Site
from mediswarm.pipelines.find import load_pipeline
from mediswarm.spec import Training
from mediswarm.training.site_run import initial_weights
from mediswarm.training.torch_learner import TorchLearner
from mediswarm.training.transfer import freeze, parameter_groups, train_mode

PLAN = RoundPlan(round=0, rounds=2, seed=1)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))


@pytest.fixture
def learner(make_job: Any) -> Any:
    """A learner of the minimal job: convolution 0, its norm 1, …, the last layer."""

    def make(**training: Any) -> TorchLearner:
        plain = {"local": {"steps": 2}, "optimizer": {"name": "sgd", "lr": 0.1}}
        spec = Training.model_validate(plain | training)
        pipeline = load_pipeline(make_job(config={"cases": 40}))
        torch.manual_seed(0)
        return TorchLearner(pipeline, pipeline.data(Site("site-1")), spec)

    return make


def moved(learner: TorchLearner) -> dict[str, torch.Tensor]:
    before = {name: value.clone() for name, value in learner.weights().items()}
    learner.train(PLAN)
    return {name: value - before[name] for name, value in learner.weights().items()}


def test_frozen_parameters_do_not_move_and_all_others_do(learner: Any) -> None:
    change = moved(learner(freeze=["0.*"]))
    assert {name for name, value in change.items() if not value.any()} == {"0.weight", "0.bias"}


def test_frozen_batch_norms_keep_their_statistics() -> None:
    model = network()
    freeze(model, ["0.*", "1.*"])
    train_mode(model)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    model(torch.randn(8, 2) + 3)
    assert not model[1].running_mean.any()
    other = network()
    freeze(other, ["0.*"])
    train_mode(other)
    assert other[1].training


def test_a_factor_scales_the_steps_of_its_group_alone(learner: Any) -> None:
    once = {"local": {"steps": 1}}
    plain = moved(learner(**once))
    slow = moved(learner(**once, optimizer={"name": "sgd", "lr": 0.1, "lr_groups": {"0.*": 0.5}}))
    for name, change in slow.items():
        torch.testing.assert_close(change, plain[name] * (0.5 if name.startswith("0.") else 1.0))


def test_factors_hold_with_a_schedule_and_after_a_restart(learner: Any) -> None:
    settings = {
        "schedule": {"name": "linear"},
        "optimizer": {"name": "adamw", "lr": 0.1, "lr_groups": {"0.*": 0.5}},
    }
    one, other = learner(**settings), learner(**settings)
    one.train(PLAN)
    other.load(one.weights())
    other.restore({name: value.clone() for name, value in one.state().items()})
    second = RoundPlan(round=1, rounds=2, seed=2)
    one.train(second)
    other.train(second)
    for name, value in one.weights().items():
        torch.testing.assert_close(other.weights()[name], value)
    rates = {group["factor"]: group["lr"] for group in one.optimizer.param_groups}
    assert rates[0.5] == pytest.approx(rates[1.0] / 2)
    assert rates[1.0] == pytest.approx(0.1 * 0.25)  # the last step is three quarters through the run


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"freeze": ["0.*", "heed.*"]}, "`training.freeze`: 'heed.\\*' matches none"),
        ({"freeze": ["*"]}, "leaves no parameter to train"),
        ({"optimizer": {"lr_groups": {"heed.*": 2.0}}}, "lr_groups`: 'heed.\\*' matches none"),
        ({"optimizer": {"lr_groups": {"0.*": 2.0, "*": 0.5}}}, "'0.weight' matches '\\*' and '0.\\*'"),
        ({"freeze": ["0.*"], "optimizer": {"lr_groups": {"0.*": 2.0}}}, "'0.\\*' matches none"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(section: dict[str, Any], said: str, make_job: Any) -> None:
    job = make_job(training=section)
    with pytest.raises(JobError, match=said) as caught:
        initial_weights(job, load_pipeline(job), {})
    assert caught.value.code == "MS-J015"
    assert Path(str(caught.value.file)).name == "job.yml"


def test_frozen_parameters_are_no_trainable_ones_to_the_strategies(make_job: Any) -> None:
    job = make_job(training={"freeze": ["0.*"]})
    weights, trainable, _ = initial_weights(job, load_pipeline(job), {})
    assert "0.weight" in weights
    assert "0.weight" not in trainable


def test_without_patterns_there_is_one_group() -> None:
    groups = parameter_groups(network(), {})
    assert [len(group["params"]) for group in groups] == [6]


def test_scaffold_refuses_several_learning_rates(make_job: Any) -> None:
    optimizer = {"name": "sgd", "lr": 0.1, "lr_groups": {"0.*": 0.5}}
    with pytest.raises(JobError, match="scaffold needs one learning rate") as caught:
        make_job(workflow={"name": "scaffold", "rounds": 2}, training={"optimizer": optimizer})
    assert caught.value.code == "MS-J006"
