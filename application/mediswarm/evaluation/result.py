"""One number of an evaluation, with everything a reader needs to judge it."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL, FEDERATED = "local", "federated"

WELL_SUPPORTED = 10
"""Cases on each side below which a number describes these cases and no more."""


@dataclass(frozen=True)
class Result:
    """A metric of one model on one site's cases.

    `method` says how the model was trained (:data:`LOCAL`, :data:`FEDERATED`).
    `value` is None where the metric is undefined (shown as n/a), such as the
    AUROC of a class without cases. `support` counts the cases that the value
    rests on: the positives for a class's AUROC and sensitivity, the negatives
    for its specificity, all cases otherwise. `low` and `high` are the limits of
    the 95 % confidence interval, None where none is given. `descriptive` marks
    values with fewer than :data:`WELL_SUPPORTED` cases on either side.
    `classes` are those that the value is about: one, or for a mean over
    classes, those that were counted.
    """

    site: str
    method: str
    metric: str
    value: float | None
    support: int
    low: float | None = None
    high: float | None = None
    descriptive: bool = False
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Federated minus local, of one metric on the same cases of one site.

    `low` and `high` limit the 95 % confidence interval of the difference, None
    where the cases leave it undetermined.
    """

    site: str
    metric: str
    value: float
    support: int
    low: float | None
    high: float | None
    descriptive: bool
    classes: tuple[str, ...]


def only(results: list[Result], metric: str, method: str) -> dict[str, Result]:
    """The results of one metric and method, by site, in the order given."""
    return {result.site: result for result in results if (result.metric, result.method) == (metric, method)}
