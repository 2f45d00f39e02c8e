"""Cox's partial likelihood: of a batch, and of all sites together from sums over risk sets."""

from __future__ import annotations

import torch

from mediswarm.pipelines.counts import Counts


def cox_loss(log_risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
    """Negative log partial likelihood per event (Cox, 1972), tied times as Breslow (1974).

    The risk set of an event are the patients of the batch who were followed at least as long.
    A batch comes from one site: this is Cox's model stratified by site, in which each site may
    have a baseline hazard of its own, and no patient is compared with one of another site.

    Args:
        log_risk: [n].
        time: of the event or of censoring [n].
        event: 1 where the event happened, 0 where it was censored [n].

    Returns:
        [scalar]; 0, with zero gradients, of a batch without an event.
    """
    log_risk = log_risk.float()
    at_risk = time[None, :] >= time[:, None]
    denominator = log_risk[None, :].masked_fill(~at_risk, float("-inf")).logsumexp(dim=1)
    return ((denominator - log_risk) * event).sum() / event.sum().clamp(min=1)


def risk_sums(log_risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor, grid: torch.Tensor) -> Counts:
    """What the pooled partial likelihood needs of a site.

    Args:
        log_risk: [n].
        time: [n], none beyond the last edge of the grid.
        event: [n], 1 or 0.
        grid: upper edges of the time intervals, rising [intervals]. Times within an interval
            count as tied, as if all lay at its upper edge.

    Returns:
        `deaths` [intervals], `risk_sums` [intervals]: Σ exp(log risk) over those at risk there, and
        `event_log_risk` [1]: Σ log risk over events.
    """
    place = intervals_of(time, grid)
    none = torch.zeros(len(grid), dtype=torch.float64)
    deaths = none.index_add(0, place, event.double())
    leaving = none.index_add(0, place, log_risk.double().exp())
    return {
        "deaths": deaths.tolist(),
        "risk_sums": leaving.flip(0).cumsum(0).flip(0).tolist(),
        "event_log_risk": [float((log_risk.double() * event).sum())],
    }


def federated_breslow_loss(
    log_risk: torch.Tensor,
    time: torch.Tensor,
    event: torch.Tensor,
    grid: torch.Tensor,
    summed: Counts,
    own: Counts,
) -> torch.Tensor:
    """Pooled negative log partial likelihood per event (Breslow, 1974), as a mean over patients.

    Its gradient is the sum over patients of the martingale residual, exp(log risk) times Breslow's
    cumulative baseline hazard minus the event (Therneau, Grambsch and Fleming, 1990), times the gradient
    of the log risk. With the hazard of `summed`, each patient's term needs no other patient. The mean
    over all patients of all sites has value and gradient of the pooled likelihood at the weights for
    which `summed` was made.

    A partial likelihood does not change when all log risks shift alike; the residuals of one batch, which
    do not add up to 0 as those of all patients do, would shift them at random, and so would dropout and
    bags of few tiles. The gradient is therefore that of the covariance of residuals and log risks within
    the batch, without bias, and of the site's mean residual, which `own` gives, times the mean log risk.
    For the whole site as one batch that is the same.

    Args:
        log_risk: of a batch of training patients of one site [n].
        time: [n].
        event: [n].
        grid: as for :func:`risk_sums`.
        summed: :func:`risk_sums` of all training patients of all sites, added up, and their `cases` [1].
        own: the same of this site alone.

    Returns:
        [scalar], float64; 0 where no site has an event.
    """
    device, log_risk = log_risk.device, log_risk.double()
    deaths, sums, own_sums = (
        torch.tensor(values, dtype=torch.float64, device=device)
        for values in (summed["deaths"], summed["risk_sums"], own["risk_sums"])
    )
    if not deaths.any():
        return log_risk.sum() * 0
    known = deaths > 0
    hazard = torch.where(known, deaths / sums.where(known, 1), 0)
    expected = log_risk.exp() * hazard.cumsum(0)[intervals_of(time, grid.to(device))]
    value, shift, batch, cases = (
        (expected - event * log_risk).mean(),
        log_risk.mean(),
        len(time),
        own["cases"][0],
    )
    residual = (expected - event).mean().detach()
    residual_of_site = ((own_sums * hazard).sum() - sum(own["deaths"])) / cases
    unbiased = batch / (batch - 1) * (cases - 1) / cases if batch > 1 else 1.0
    pull = unbiased * (value - residual * shift) + residual_of_site * shift
    constant = (deaths * sums.log())[known].sum() / deaths.sum() - 1
    return (value.detach() + pull - pull.detach()) * summed["cases"][0] / deaths.sum() + constant


def pooled_loss(summed: Counts) -> float | None:
    """The pooled negative log partial likelihood per event, from :func:`risk_sums`; None without events."""
    deaths, sums = (torch.tensor(summed[name], dtype=torch.float64) for name in ("deaths", "risk_sums"))
    known = deaths > 0
    if not known.any():
        return None
    return float(((deaths * sums.log())[known].sum() - summed["event_log_risk"][0]) / deaths.sum())


def intervals_of(time: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """The interval of each time [n], long: k where grid[k - 1] < time <= grid[k]."""
    # a float32 time at the very end may be a rounding error beyond it
    return torch.searchsorted(grid, time.to(grid.dtype).contiguous()).clamp(max=len(grid) - 1)
