"""Each workflow's arithmetic, written out in NumPy for two rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mediswarm.aggregation import Strategy, strategy_for
from mediswarm.errors import ContractError
from mediswarm.spec import Cyclic, FedAvg, FedOpt, Scaffold, Swarm
from mediswarm.spec.workflow import WeightBy

START = np.array([1.0, -2.0, 0.5])
UPDATES = np.array([[[0.3, 0.1, -0.2], [-0.1, 0.4, 0.2]], [[0.2, -0.3, 0.1], [0.05, 0.0, -0.4]]])
CASES = [30, 10]
MEANS = np.array([np.average(updates, axis=0, weights=CASES) for updates in UPDATES])


def strategy(workflow: Any, sites: int = 2, **buffers: torch.Tensor) -> Strategy:
    weights = {"w": torch.tensor(START, dtype=torch.float32), **buffers}
    return strategy_for(workflow, weights, {"w"}, sites)


def after_each_round(found: Strategy, contribute: Any) -> list[np.ndarray]:
    models = []
    for round_, updates in enumerate(UPDATES):
        for update, cases in zip(updates, CASES, strict=True):
            found.add(contribute({"w": update}, round=round_, cases=cases))
        found.commit()
        models.append(found.weights["w"].numpy().copy())
    return models


@pytest.mark.parametrize("workflow", [FedAvg(rounds=2), FedAvg(rounds=2, proximal_mu=0.1), Swarm(rounds=2)])
def test_fedavg_adds_the_weighted_mean(workflow: Any, contribute: Any) -> None:
    first, second = after_each_round(strategy(workflow), contribute)
    np.testing.assert_allclose(first, START + MEANS[0], rtol=1e-6)
    np.testing.assert_allclose(second, START + MEANS[0] + MEANS[1], rtol=1e-6)


def fedopt(name: str, **settings: float) -> FedOpt:
    return FedOpt.model_validate({"rounds": 2, "server_optimizer": {"name": name, **settings}})


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fedopt_sgd(momentum: float, contribute: Any) -> None:
    found = after_each_round(strategy(fedopt("sgd", lr=0.7, momentum=momentum)), contribute)
    x, m = START.copy(), np.zeros(3)
    for model, d in zip(found, MEANS, strict=True):
        m = momentum * m + d
        x = x + 0.7 * m
        np.testing.assert_allclose(model, x, rtol=1e-6)


def test_fedopt_sgd_with_lr_1_is_fedavg(contribute: Any) -> None:
    sgd = after_each_round(strategy(fedopt("sgd", lr=1.0)), contribute)
    np.testing.assert_allclose(sgd, after_each_round(strategy(FedAvg(rounds=2)), contribute), rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "yogi", "adagrad"])
def test_adaptive_fedopt(name: str, contribute: Any) -> None:
    # algorithm 2 of Reddi et al. (2021): v starts at tau squared, no bias correction
    lr, beta1, beta2, tau = 0.1, 0.8, 0.95, 0.01
    settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "tau": tau}
    found = after_each_round(strategy(fedopt(name, **settings)), contribute)
    x, m, v = START.copy(), np.zeros(3), np.full(3, tau**2)
    for model, d in zip(found, MEANS, strict=True):
        m = beta1 * m + (1 - beta1) * d
        if name == "adam":
            v = beta2 * v + (1 - beta2) * d**2
        elif name == "yogi":
            v = v - (1 - beta2) * d**2 * np.sign(v - d**2)
        else:
            v = v + d**2
        x = x + lr * m / (np.sqrt(v) + tau)
        np.testing.assert_allclose(model, x, rtol=1e-5)


@pytest.mark.parametrize("server_lr", [1.0, 0.5])
def test_scaffold(server_lr: float, contribute: Any) -> None:
    found = strategy(Scaffold(rounds=2, server_lr=server_lr), sites=4)
    changes = np.array([[[1.0, 0.0, 2.0], [3.0, -4.0, 0.0]], [[0.5, 0.5, 0.5], [0.0, 1.0, -1.0]]])
    x, c = START.copy(), np.zeros(3)
    for round_ in range(2):
        np.testing.assert_allclose(found.control()["w"].numpy(), c, rtol=1e-6)  # type: ignore[index]
        for update, change, cases in zip(UPDATES[round_], changes[round_], CASES, strict=True):
            found.add(contribute({"w": update}, control={"w": change}, cases=cases))
        found.commit()
        x = x + server_lr * MEANS[round_]
        # two of four sites contribute, weighted like their updates
        c = c + 2 / 4 * np.average(changes[round_], axis=0, weights=CASES)
        np.testing.assert_allclose(found.weights["w"].numpy(), x, rtol=1e-6)
    np.testing.assert_allclose(found.control()["w"].numpy(), c, rtol=1e-6)  # type: ignore[index]


def test_scaffold_of_uniform_weights_is_the_papers(contribute: Any) -> None:
    found = strategy(Scaffold(rounds=1, weights="uniform"), sites=2)
    for change, cases in (([2.0, 0.0, 0.0], 90), ([4.0, 0.0, 2.0], 10)):
        found.add(contribute({"w": START}, control={"w": change}, cases=cases))
    found.commit()
    assert found.control()["w"].tolist() == [3.0, 0.0, 1.0]  # type: ignore[index]


def test_cyclic_adds_each_update_at_once(contribute: Any) -> None:
    found = strategy(Cyclic(rounds=1))
    found.add(contribute({"w": UPDATES[0][0]}))
    np.testing.assert_allclose(found.weights["w"].numpy(), START + UPDATES[0][0], rtol=1e-6)
    found.add(contribute({"w": UPDATES[0][1]}))
    found.commit()
    np.testing.assert_allclose(found.weights["w"].numpy(), START + UPDATES[0].sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    "workflow", [FedAvg(rounds=1), fedopt("adam", lr=0.1), Scaffold(rounds=1, server_lr=0.5)], ids=str
)
def test_buffers_are_averaged_in_every_workflow(workflow: Any, contribute: Any) -> None:
    found = strategy(workflow, mean=torch.tensor([10.0]), batches=torch.tensor(100))
    for cases, shift, batches in ((3, 1.0, 4), (1, 3.0, 8)):
        found.add(contribute({"w": START, "mean": [shift], "batches": torch.tensor(batches)}, cases=cases))
    found.commit()
    assert found.weights["mean"].tolist() == [11.5]
    assert found.weights["batches"].item() == 105
    assert found.weights["batches"].dtype == torch.int64


@pytest.mark.parametrize(
    ("rule", "weights"), [("cases", [30, 10]), ("events", [2, 8]), ("steps", [5, 20]), ("uniform", [1, 1])]
)
@pytest.mark.parametrize("workflow", [FedAvg, Swarm, Scaffold])
def test_contributions_are_weighted_as_declared(
    workflow: Any, rule: WeightBy, weights: list[float], contribute: Any
) -> None:
    found = strategy(workflow(rounds=1, weights=rule))
    given = [
        found.add(contribute({"w": update}, cases=cases, events=events, steps=steps))
        for update, cases, events, steps in zip(UPDATES[0], CASES, (2.0, 8.0), (5, 20), strict=True)
    ]
    found.commit()
    assert given == weights
    expected = START + np.average(UPDATES[0], axis=0, weights=weights)
    np.testing.assert_allclose(found.weights["w"].numpy(), expected, rtol=1e-6)


def test_weights_by_events_need_events(contribute: Any) -> None:
    found = strategy(FedAvg(rounds=1, weights="events"))
    with pytest.raises(ContractError, match="count no `events`") as caught:
        found.add(contribute({"w": START}))
    assert caught.value.code == "MS-C005"
    assert "weights: cases" in caught.value.repair


def test_a_round_without_any_event_is_an_error_and_no_nan(contribute: Any) -> None:
    found = strategy(FedAvg(rounds=1, weights="events"))
    found.add(contribute({"w": START}, events=0.0))
    with pytest.raises(ContractError) as caught:
        found.commit()
    assert caught.value.code == "MS-C005"


@pytest.mark.parametrize(
    "workflow",
    [FedAvg(rounds=1), fedopt("yogi", lr=0.1), Scaffold(rounds=1), Cyclic(rounds=1)],
    ids=lambda workflow: workflow.name,
)
def test_an_update_that_does_not_fit_is_refused_by_every_workflow(workflow: Any, contribute: Any) -> None:
    for wrong in ({"w": [1.0]}, {"v": START}, {"w": START, "v": START}):
        found = strategy(workflow)
        with pytest.raises(ContractError) as caught:
            found.add(contribute(wrong, control={"w": START}))
        assert caught.value.code == "MS-C003"
        assert found.weights["w"].tolist() == START.tolist()


def test_a_control_variate_that_does_not_fit_leaves_no_trace_of_its_update(contribute: Any) -> None:
    found = strategy(Scaffold(rounds=1))
    with pytest.raises(ContractError):
        found.add(contribute({"w": START * 100}, control={"w": [1.0]}, cases=1000))
    found.add(contribute({"w": UPDATES[0][0]}, control={"w": START}))
    found.commit()
    np.testing.assert_allclose(found.weights["w"].numpy(), START + UPDATES[0][0], rtol=1e-6)
