"""The PyTorch learner against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mediswarm.errors import ContractError, HostError, RunFailed
from mediswarm.pipelines import Cases, ClassificationPipeline, Config, Site, SiteData
from mediswarm.spec import Training
from mediswarm.training.torch_learner import TorchLearner


def weights_of(learner: TorchLearner) -> np.ndarray:
    return learner.weights()["weight"][0].double().numpy().copy()


def test_plain_steps(problem: Any, make_plan: Any) -> None:
    learner = problem.learner()
    result = learner.train(make_plan())
    expected = np.zeros(3)
    for _ in range(3):
        expected -= 0.1 * problem.gradient(expected)
    np.testing.assert_allclose(weights_of(learner), expected, atol=1e-6)
    assert (result.steps, result.cases) == (3, 12)
    assert result.lr_sum == pytest.approx(0.3)


def test_the_reported_loss_is_the_mean_per_case_before_each_step(problem: Any, make_plan: Any) -> None:
    result = problem.learner(local={"steps": 1}).train(make_plan())
    assert result.loss == pytest.approx((problem.y**2).mean() / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("cases", "batch_size", "accumulate"), [(12, 4, 3), (12, 6, 2), (17, 9, 2), (13, 4, 4)]
)
def test_accumulated_gradients_are_those_of_one_large_batch(
    cases: int, batch_size: int, accumulate: int, make_problem: Any, make_plan: Any
) -> None:
    problem = make_problem(cases)
    whole, parts = (
        problem.learner(local={"epochs": 2}, batch_size=size, accumulate=times)
        for size, times in ((cases, 1), (batch_size, accumulate))
    )
    assert whole.train(make_plan()).steps == parts.train(make_plan()).steps == 2
    np.testing.assert_allclose(weights_of(parts), weights_of(whole), rtol=1e-5)


def test_the_norm_of_a_step_is_clipped(problem: Any, make_plan: Any) -> None:
    learner = problem.learner(local={"steps": 1}, gradient_clip=0.01)
    learner.train(make_plan())
    gradient = problem.gradient(np.zeros(3))
    assert np.linalg.norm(gradient) > 0.1
    np.testing.assert_allclose(
        weights_of(learner), -0.1 * 0.01 * gradient / np.linalg.norm(gradient), rtol=1e-4
    )


def test_fedprox_pulls_towards_the_received_weights(problem: Any, make_plan: Any) -> None:
    learner = problem.learner()
    received = np.array([0.5, 0.5, 0.5])
    learner.load({"weight": torch.tensor(received[None], dtype=torch.float32)})
    learner.train(make_plan(proximal_mu=2.0))
    expected = received.copy()
    for _ in range(3):
        expected -= 0.1 * (problem.gradient(expected) + 2.0 * (expected - received))
    np.testing.assert_allclose(weights_of(learner), expected, atol=1e-6)


def test_control_variates_are_added_to_every_gradient(problem: Any, make_plan: Any) -> None:
    learner = problem.learner()
    control = np.array([1.0, -1.0, 0.25])
    learner.train(make_plan(control={"weight": torch.tensor(control[None], dtype=torch.float32)}))
    expected = np.zeros(3)
    for _ in range(3):
        expected -= 0.1 * (problem.gradient(expected) + control)
    np.testing.assert_allclose(weights_of(learner), expected, atol=1e-6)


@pytest.mark.parametrize("state", ["keep", "reset"])
def test_momentum_is_kept_or_reset_between_rounds(state: str, problem: Any, make_plan: Any) -> None:
    learner = problem.learner(optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9, "state": state})
    start = {"weight": torch.ones(1, 3)}
    moment = np.zeros(3)
    for round_ in range(2):
        learner.load(start)
        learner.train(make_plan(round_, 2))
        expected = np.ones(3)
        if state == "reset":
            moment = np.zeros(3)
        for _ in range(3):
            moment = 0.9 * moment + problem.gradient(expected)
            expected -= 0.1 * moment
        np.testing.assert_allclose(weights_of(learner), expected, atol=1e-6)


def test_adams_second_round_depends_on_the_state(problem: Any, make_plan: Any) -> None:
    ends = {}
    for state in ("keep", "reset"):
        learner = problem.learner(optimizer={"name": "adam", "lr": 0.1, "state": state})
        for round_ in range(2):
            learner.load({"weight": torch.ones(1, 3) * (1 + round_)})
            learner.train(make_plan(round_, 2))
        ends[state] = weights_of(learner)
    assert np.abs(ends["keep"] - ends["reset"]).max() > 1e-3


def test_small_and_large_sites_are_at_the_same_rate_at_the_same_time(
    make_problem: Any, make_plan: Any
) -> None:
    schedule = {"name": "cosine", "warmup": 0.25}
    rates = []
    for cases in (24, 480):
        learner = make_problem(cases).learner(
            local={"epochs": 1}, batch_size=2, schedule=schedule, optimizer={"name": "sgd", "lr": 1e-3}
        )
        results = [learner.train(make_plan(round_, 4)) for round_ in range(4)]
        rates.append([result.lr_sum / result.steps / 1e-3 for result in results])
    # mean rates of the rounds; a site of 12 steps samples the curve more coarsely
    np.testing.assert_allclose(rates[0], rates[1], atol=0.06)
    assert rates[1][1] > rates[1][2] > rates[1][3]


def test_a_wrong_name_or_shape_is_refused_and_nothing_is_loaded(problem: Any) -> None:
    learner = problem.learner()
    good = {"weight": torch.ones(1, 3)}
    for wrong in ({"weight": torch.ones(1, 4)}, {"weight": torch.ones(3)}, good | {"bias": torch.ones(1)}):
        with pytest.raises(ContractError, match=list(wrong)[-1]) as caught:
            learner.load(wrong)
        assert caught.value.code == "MS-C003"
        np.testing.assert_array_equal(weights_of(learner), np.zeros(3))


def test_weights_that_are_not_named_stay(make_plan: Any) -> None:
    learner = classifier_learner()
    before = {name: value.clone() for name, value in learner.weights().items()}
    learner.load({"0.bias": torch.full((8,), 3.0)})
    after = learner.weights()
    assert after["0.bias"].tolist() == [3.0] * 8
    assert all(torch.equal(after[name], before[name]) for name in before if name != "0.bias")


@pytest.mark.parametrize("lr", [1e4, 1e30])
def test_divergence_is_a_named_failure(lr: float, problem: Any, make_plan: Any) -> None:
    learner = problem.learner(optimizer={"name": "sgd", "lr": lr}, local={"steps": 60})
    with pytest.raises(RunFailed, match=r"training loss became (inf|nan) in round 2") as caught:
        learner.train(make_plan(2, 5))
    assert caught.value.code == "MS-R004"
    assert "lr" in caught.value.repair


def test_data_that_are_no_numbers_are_not_blamed_on_the_learning_rate(problem: Any, make_plan: Any) -> None:
    problem.pipeline.inputs[[2, 7], 1] = np.nan
    with pytest.raises(RunFailed, match="2 of 12 training cases hold NaN or infinity") as caught:
        problem.learner().train(make_plan())
    assert caught.value.code == "MS-R004"
    assert "data" in caught.value.repair
    assert "lr" not in caught.value.repair


def test_a_stop_ends_the_round_between_two_steps(problem: Any, make_plan: Any) -> None:
    asked = iter([False, False, True])
    result = problem.learner(local={"steps": 50}).train(make_plan(stop=lambda: next(asked)))
    assert result.steps == 2


def test_a_device_that_is_not_there(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HostError) as caught:
        TorchLearner(problem.pipeline, problem.pipeline.data(None), Training(), "cuda")
    assert caught.value.code == "MS-H002"


# -- E5: judgement in evaluation mode, on data as they are ----------------------------------------


class Unsettled(nn.Sequential):
    """A model that answers differently when it trains."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


class Classifier(ClassificationPipeline[Config]):
    """Remembers its model, and how often it augmented a batch of it in training."""

    Config = Config
    classes = ("a", "b", "c")
    augmented = 0

    def data(self, site: Site) -> SiteData:
        inputs = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
        cases = Cases.of(inputs, torch.arange(30) % 3)
        return SiteData(cases, cases, cases)

    def model(self) -> nn.Module:
        self.made = Unsettled()
        return self.made

    def augment(self, inputs: Any, targets: Any, generator: torch.Generator) -> Any:
        assert self.made.training, "augmented while judging"
        self.augmented += 1
        return inputs + torch.randn(inputs.shape, generator=generator), targets


def classifier_learner(**training: Any) -> TorchLearner:
    pipeline = Classifier(Config())
    settings = {"local": {"epochs": 1}, "batch_size": 8, **training}
    torch.manual_seed(0)
    return TorchLearner(pipeline, pipeline.data(Site("a")), Training.model_validate(settings))


def test_judgement_is_in_evaluation_mode_and_never_augments(make_plan: Any) -> None:
    learner = classifier_learner()
    pipeline: Any = learner.pipeline
    learner.train(make_plan())
    assert pipeline.augmented == 4
    before = {name: value.clone() for name, value in learner.weights().items()}
    learner.model.train()
    cases = learner.data.validation
    first = learner.predict(cases)
    again = learner.predict(cases)

    assert pipeline.augmented == 4
    assert torch.equal(first.outputs, again.outputs)
    assert all(torch.equal(value, before[name]) for name, value in learner.weights().items())
    learner.model.eval()
    with torch.no_grad():
        output = learner.model(cases.dataset[:][0])  # type: ignore[index]
    torch.testing.assert_close(first.outputs, output.softmax(dim=1))
    assert first.loss == pytest.approx(float(pipeline.loss(output, first.targets)), rel=1e-5)
    assert first.targets.tolist() == [index % 3 for index in range(30)]


def test_training_is_in_training_mode_after_a_judgement(make_plan: Any) -> None:
    learner = classifier_learner()
    learner.predict(learner.data.validation)
    counted = int(learner.weights()["1.num_batches_tracked"])
    learner.train(make_plan())
    assert int(learner.weights()["1.num_batches_tracked"]) == counted + 4


def test_the_batch_size_does_not_change_a_judgement() -> None:
    small, large = classifier_learner(batch_size=7), classifier_learner(batch_size=64)
    large.load(small.weights())
    cases = small.data.validation
    torch.testing.assert_close(small.predict(cases).outputs, large.predict(cases).outputs)
    assert small.predict(cases).loss == pytest.approx(large.predict(cases).loss)


def test_cases_judged_one_at_a_time_have_the_loss_of_the_whole_split() -> None:
    """As a loss needs that compares cases with one another."""
    learner = classifier_learner()
    pipeline: Any = learner.pipeline
    cases = learner.data.validation
    together = learner.predict(cases)
    seen: list[int] = []
    learner.model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    pipeline.judged_at_once = 1
    judged: list[int] = []
    loss = pipeline.loss
    pipeline.loss = lambda output, target: judged.append(len(target)) or loss(output, target)
    alone = learner.predict(cases)
    assert (seen, judged) == ([1] * 30, [30])
    torch.testing.assert_close(alone.outputs, together.outputs)
    assert alone.loss == pytest.approx(together.loss)
