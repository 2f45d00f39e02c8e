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
    deaths, sums = _deaths_and_sums(log_risk, time, event, grid)
    return {
        "deaths": deaths.tolist(),
        "risk_sums": sums.tolist(),
        "event_log_risk": [float((log_risk.double() * event).sum())],
    }


def federated_breslow_loss(
    log_risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor, grid: torch.Tensor, summed: Counts
) -> torch.Tensor:
    """A site's share of the pooled negative log partial likelihood per event (Breslow, 1974).

    Both the shares and their gradients, summed over the sites, are those of all patients pooled,
    on the same grid. That holds at the weights for which `summed` was made: one step of it.

    Args:
        log_risk: of all training patients of the site [n].
        time: [n].
        event: [n].
        grid: as for :func:`risk_sums`.
        summed: :func:`risk_sums` of all sites, this one too, added up.

    Returns:
        [scalar], float64; 0 where no site has an event.
    """
    all_deaths, all_sums = (
        torch.tensor(summed[name], dtype=torch.float64, device=log_risk.device)
        for name in ("deaths", "risk_sums")
    )
    deaths, sums = _deaths_and_sums(log_risk, time, event, grid)
    known = all_deaths > 0
    own = (deaths * all_sums.log())[known].sum() - (log_risk.double() * event).sum()
    # of Σ d log S the gradient is Σ d / S · ∇S, where ∇S is a sum over the sites
    pulled = (all_deaths / all_sums * sums)[known].sum()
    return (own + pulled - pulled.detach()) / all_deaths.sum().clamp(min=1)


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
    return torch.searchsorted(grid, time.to(grid.dtype)).clamp(max=len(grid) - 1)


def _deaths_and_sums(
    log_risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor, grid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Events in each interval, and Σ exp(log risk) over those at risk in it; float64 [intervals] each."""
    place = intervals_of(time, grid)
    none = torch.zeros(len(grid), dtype=torch.float64, device=log_risk.device)
    deaths = none.index_add(0, place, event.double())
    leaving = none.index_add(0, place, log_risk.double().exp())
    return deaths, leaving.flip(0).cumsum(0).flip(0)
