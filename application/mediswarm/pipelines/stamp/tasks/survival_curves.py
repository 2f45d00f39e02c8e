"""Concordance, Kaplan-Meier curves and the log-rank test from counts that sites can sum."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from mediswarm.pipelines.counts import Counts

Array = np.ndarray[Any, Any]

_POSITIVE = np.concatenate([[0.0], np.geomspace(0.02, 8.0, 24)])
CUT_OFFS = np.concatenate([-_POSITIVE[:0:-1], _POSITIVE])
"""Log risks at which patients may be divided, closer together about 0."""


def concordance_counts(log_risk: Array, time: Array, event: Array) -> Counts:
    """Harrell's pairs (1982): `concordant` and `comparable`.

    Two patients are comparable when the one with the shorter time had the event, or of two equal
    times one alone is an event. The pair is concordant when the earlier event has the higher risk; half
    when the risks are equal.

    Args:
        log_risk: [n].
        time: [n].
        event: 1 or 0 [n].
    """
    concordant = comparable = 0.0
    for index in np.flatnonzero(event):  # row by row: n² pairs at once would not fit
        later = (time > time[index]) | ((time == time[index]) & (event == 0))
        comparable += float(later.sum())
        concordant += float((log_risk[later] < log_risk[index]).sum())
        concordant += 0.5 * float((log_risk[later] == log_risk[index]).sum())
    return {"concordant": [concordant], "comparable": [comparable]}


def exit_counts(log_risk: Array, interval: Array, event: Array, intervals: int) -> Counts:
    """How many patients left in which time interval, by event and by censoring, for each range of risk.

    Args:
        log_risk: [n]; divided at :data:`CUT_OFFS`, of which each belongs to the range below.
        interval: in which the patient's time lies, [n].
        event: 1 or 0 [n].
        intervals: how many there are.

    Returns:
        `events` and `censored`, each [ranges · intervals], range major.
    """
    place = np.searchsorted(CUT_OFFS, log_risk) * intervals + interval
    cells = (len(CUT_OFFS) + 1) * intervals
    return {
        name: np.bincount(place[event == happened], minlength=cells).astype(float).tolist()
        for name, happened in (("events", 1), ("censored", 0))
    }


class RiskGroups(NamedTuple):
    """Patients of low and of high predicted risk: [2, intervals] each.

    `cut_off` is the one of :data:`CUT_OFFS` that divides all sites' patients most evenly.
    """

    cut_off: float
    deaths: Array
    at_risk: Array

    @classmethod
    def of(cls, counts: Counts) -> RiskGroups:
        """From :func:`exit_counts`, of one site or summed."""
        events, censored = (
            np.array(counts[name]).reshape(len(CUT_OFFS) + 1, -1) for name in ("events", "censored")
        )
        leaving = events + censored
        below = leaving.sum(axis=1).cumsum()[:-1]
        last = int(np.abs(below - leaving.sum() / 2).argmin())

        def halves(table: Array) -> Array:
            return np.stack([table[: last + 1].sum(axis=0), table[last + 1 :].sum(axis=0)])

        at_risk = halves(leaving)[:, ::-1].cumsum(axis=1)[:, ::-1]
        return cls(float(CUT_OFFS[last]), halves(events), at_risk)

    def survival(self) -> Array:
        """Kaplan and Meier's estimate (1958) at the end of each interval, [2, intervals]; NaN of no one.

        All events of an interval count as tied, and come before its censorings.
        """
        share = np.divide(self.deaths, self.at_risk, out=np.zeros_like(self.deaths), where=self.at_risk > 0)
        curves: Array = np.cumprod(1 - share, axis=1)
        curves[self.at_risk[:, 0] == 0] = np.nan
        return curves

    def log_rank(self) -> tuple[float, float] | None:
        """Chi² with one degree of freedom, and its p value (Mantel, 1966); None where nothing varies."""
        everyone, deaths = self.at_risk.sum(axis=0), self.deaths.sum(axis=0)
        counted = everyone > 1
        share = self.at_risk[1][counted] / everyone[counted]
        expected = deaths[counted] * share
        still = (everyone - deaths)[counted] / (everyone[counted] - 1)
        variance = float((expected * (1 - share) * still).sum())
        if variance <= 0:
            return None
        chi2 = float((self.deaths[1][counted] - expected).sum()) ** 2 / variance
        return chi2, math.erfc(math.sqrt(chi2 / 2))
