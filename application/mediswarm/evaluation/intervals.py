"""Confidence intervals in closed form, valid at 0 and 1 and for few cases. All are 95 %."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.optimize import brentq
from scipy.stats import norm

Interval = tuple[float, float]

_Z = float(norm.ppf(0.975))


def auroc_interval(auroc: float, positives: int, negatives: int) -> Interval:
    """Score-type interval of an AUROC: method 5 of Newcombe (2006).

    The limits are the values whose standard error, by the formula of Hanley and
    McNeil (1982) with both group sizes replaced by their mean, puts the
    observed value just 1.96 standard errors away. It never leaves [0, 1] and
    has a sensible width at 0 and at 1.

    Source: Newcombe RG. Confidence intervals for an effect size measure based
    on the Mann-Whitney statistic. Part 2. Statistics in Medicine 2006;25:559-573.
    """
    spread = (positives + negatives) / 2 - 1

    def excess(theta: float) -> float:
        pairs = 1 + spread * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * pairs / (positives * negatives)
        return (auroc - theta) ** 2 - _Z**2 * variance

    # At 0 and 1 the variance vanishes, so both ends lie outside the interval
    # unless the observed value is that end itself.
    tiny = 1e-12
    low = 0.0 if auroc <= tiny else float(brentq(excess, 0.0, min(auroc, 1 - tiny)))
    high = 1.0 if auroc >= 1 - tiny else float(brentq(excess, max(auroc, tiny), 1.0))
    return low, high


def proportion_interval(successes: int, total: int) -> Interval:
    """Score interval of a proportion (Wilson, 1927); `total` is at least 1."""
    share, square = successes / total, _Z**2
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_of_proportions_interval(counts: Sequence[tuple[int, int]]) -> Interval:
    """Interval of the mean of independent proportions, such as balanced accuracy.

    Args:
        counts: (successes, total) of each, `total` at least 1.

    Recovers the variance of each from its Wilson limits.
    Source: Zou GY, Donner A. Construction of confidence limits about effect
    measures: a general approach. Statistics in Medicine 2008;27:1693-1702.
    """
    shares = [successes / total for successes, total in counts]
    limits = [proportion_interval(*count) for count in counts]
    mean = sum(shares) / len(shares)
    below = math.hypot(*(share - low for share, (low, _) in zip(shares, limits, strict=True)))
    above = math.hypot(*(high - share for share, (_, high) in zip(shares, limits, strict=True)))
    return max(0.0, mean - below / len(shares)), min(1.0, mean + above / len(shares))
