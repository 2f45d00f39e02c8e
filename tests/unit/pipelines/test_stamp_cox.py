"""Cox's partial likelihood against torchsurv, lifelines, and all patients pooled."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch

from mediswarm.pipelines import Counts, add_counts
from mediswarm.pipelines.stamp.cox import (
    cox_loss,
    federated_breslow_loss,
    intervals_of,
    pooled_loss,
    risk_sums,
)

GRID = torch.arange(1.0, 25.0, dtype=torch.float64)


def patients(count: int, seed: int, *, ties: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs [count, 3], times up to 24, events."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    hazard = (inputs @ torch.tensor([0.8, -0.5, 0.0], dtype=torch.float64)).exp()
    time = -10 * torch.rand(count, generator=generator, dtype=torch.float64).log() / hazard
    time = time.clamp(0.01, 24)
    event = (torch.rand(count, generator=generator) < 0.7) & (time < 24)
    return inputs, time.ceil() if ties else time, event.double()


@pytest.mark.filterwarnings("ignore:Ties in `time` detected")
@pytest.mark.parametrize("ties", [False, True])
def test_the_batch_loss_is_torchsurvs(ties: bool) -> None:
    cox = pytest.importorskip("torchsurv.loss.cox")
    inputs, time, event = patients(60, 1, ties=ties)
    own, other = (torch.tensor([0.3, 0.1, -0.4], requires_grad=True) for _ in range(2))
    loss = cox_loss(inputs.float() @ own, time, event)
    expected = cox.neg_partial_log_likelihood(
        inputs.float() @ other, event.bool(), time, ties_method="breslow", reduction="sum"
    )
    expected = expected / event.sum()  # its own mean is over the different times of events
    torch.testing.assert_close(loss, expected, check_dtype=False, rtol=1e-5, atol=1e-6)
    torch.autograd.backward([loss, expected])
    torch.testing.assert_close(own.grad, other.grad, rtol=1e-5, atol=1e-6)


def test_the_batch_loss_is_least_where_lifelines_finds_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lifelines = pytest.importorskip("lifelines")
    inputs, time, event = patients(150, 2, ties=False)
    table = pd.DataFrame(inputs.numpy(), columns=["a", "b", "c"]).assign(
        time=time.numpy(), event=event.numpy()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = lifelines.CoxPHFitter().fit(table, "time", "event").params_.to_numpy()
    weights = torch.tensor(np.array(fitted), dtype=torch.float32, requires_grad=True)
    torch.autograd.backward(cox_loss(inputs.float() @ weights, time, event))
    torch.testing.assert_close(weights.grad, torch.zeros(3), rtol=0, atol=1e-4)


def test_a_batch_without_an_event_teaches_nothing() -> None:
    weights = torch.ones(3, requires_grad=True)
    inputs, time, event = patients(5, 3)
    loss = cox_loss(inputs.float() @ weights, time, torch.zeros_like(event))
    assert loss == 0
    assert torch.equal(grad(loss, weights), torch.zeros(3))
    alone = cox_loss((inputs[:1].float() @ weights), time[:1], torch.ones(1))
    assert alone == 0, "one patient is compared with nobody"


def grad(loss: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    """The gradient."""
    return torch.autograd.grad(loss, of)[0]


def sums_of(log_risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor) -> Counts:
    """What a site says before a round."""
    return risk_sums(log_risk, time, event, GRID) | {"cases": [float(len(time))]}


def pooled_on_grid(log_risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
    """Breslow's likelihood of all patients, event by event, with times tied in the grid's intervals."""
    tied = GRID[intervals_of(time, GRID)]
    likelihood = torch.zeros((), dtype=torch.float64)
    for index in event.nonzero()[:, 0]:
        likelihood = likelihood + log_risk[index] - log_risk[tied >= tied[index]].logsumexp(dim=0)
    return -likelihood / event.sum()


def three_sites() -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Sites of different size, one with no event at all."""
    sites = [patients(80, 4, ties=False), patients(25, 5, ties=False), patients(9, 6, ties=False)]
    sites[2] = (*sites[2][:2], torch.zeros(9, dtype=torch.float64))
    return sites


def test_three_sites_have_the_loss_and_gradient_of_all_patients_pooled() -> None:
    weights = torch.tensor([0.4, -0.2, 0.1], dtype=torch.float64)
    sites = three_sites()
    summed = add_counts(sums_of(inputs @ weights, time, event) for inputs, time, event in sites)
    value, gradient = 0.0, torch.zeros(3, dtype=torch.float64)
    for inputs, time, event in sites:
        own = weights.clone().requires_grad_()
        counted = sums_of(inputs @ weights, time, event)
        loss = federated_breslow_loss(inputs @ own, time, event, GRID, summed, counted)
        share = len(time) / summed["cases"][0]
        value, gradient = value + share * float(loss.detach()), gradient + share * grad(loss, own)

    inputs, time, event = (torch.cat(parts) for parts in zip(*sites, strict=True))
    pooled = weights.clone().requires_grad_()
    expected = pooled_on_grid(inputs @ pooled, time, event)
    torch.testing.assert_close(gradient, grad(expected, pooled), rtol=0, atol=1e-6)
    assert value == pytest.approx(float(expected.detach()), abs=1e-6)
    assert pooled_loss(summed) == pytest.approx(float(expected.detach()), abs=1e-6)
    stratified = sum(
        float(cox_loss(inputs @ weights, time, event)) * float(event.sum()) for inputs, time, event in sites
    )
    assert abs(stratified / float(event.sum()) - float(expected.detach())) > 0.1, (
        "the stratified likelihood is another"
    )


@pytest.mark.parametrize("size", [2, 3, 8])
def test_batches_have_the_gradient_of_the_site_on_the_mean(size: int) -> None:
    """The mean over every batch that can be drawn is that of the whole site: smaller ones learn as much."""
    weights = torch.tensor([0.4, -0.2, 0.1], dtype=torch.float64)
    sites = [patients(30, 4, ties=False), patients(9, 5, ties=False)]
    summed = add_counts(sums_of(inputs @ weights, time, event) for inputs, time, event in sites)
    inputs, time, event = sites[1]
    own = sums_of(inputs @ weights, time, event)

    def gradient(of: tuple[int, ...]) -> torch.Tensor:
        batch, at = list(of), weights.clone().requires_grad_()
        log_risk = inputs[batch] @ at
        return grad(federated_breslow_loss(log_risk, time[batch], event[batch], GRID, summed, own), at)

    batches = [gradient(batch) for batch in combinations(range(9), size)]
    expected = gradient(tuple(range(9)))
    torch.testing.assert_close(torch.stack(batches).mean(dim=0), expected, rtol=0, atol=1e-9)
    assert expected.abs().min() > 1e-3


def test_batches_do_not_shift_all_log_risks_at_random() -> None:
    """In the direction that ranks nobody, every batch has the gradient of the site."""
    weights = torch.tensor([0.4, -0.2, 0.1], dtype=torch.float64)
    sites = three_sites()
    summed = add_counts(sums_of(inputs @ weights, time, event) for inputs, time, event in sites)
    inputs, time, event = sites[0]
    own = sums_of(inputs @ weights, time, event)
    found = []
    for batch in (slice(0, 80), slice(0, 10), slice(33, 40), slice(5, 6)):
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        log_risk = inputs[batch] @ weights + shift
        loss = federated_breslow_loss(log_risk, time[batch], event[batch], GRID, summed, own)
        found.append(float(grad(loss, shift)))
    assert found == pytest.approx([found[0]] * 4, abs=1e-9)
    assert abs(found[0]) > 1e-3, "this site has fewer or more events than all sites' hazard says"


def test_rounds_of_one_step_end_at_the_pooled_estimate() -> None:
    """Summed anew before every step, the sites arrive where the pooled likelihood is least."""
    inputs, time, event = (torch.cat(parts) for parts in zip(*three_sites(), strict=True))
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for _ in range(300):
        summed = sums_of((inputs @ weights).detach(), time, event)
        loss = federated_breslow_loss(inputs @ weights, time, event, GRID, summed, summed)
        weights = (weights - 0.3 * grad(loss, weights)).detach().requires_grad_()
    left = grad(pooled_on_grid(inputs @ weights, time, event), weights)
    torch.testing.assert_close(left, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)


def test_no_event_at_any_site() -> None:
    inputs, time, event = patients(5, 7)
    summed = sums_of(inputs[:, 0], time, torch.zeros_like(event))
    assert pooled_loss(summed) is None
    log_risk = inputs[:, 0].clone().requires_grad_()
    loss = federated_breslow_loss(log_risk, time, torch.zeros_like(event), GRID, summed, summed)
    assert loss == 0
    assert not grad(loss, log_risk).any()
