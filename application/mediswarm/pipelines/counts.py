"""Counts: named lists of numbers that are meaningful when summed over sites.

Everything that is agreed or judged across sites travels in this form: class
counts, sums and sums of squares, confusion matrices, concordant and comparable
pairs. Metrics are computed from the sum, so that a site without a class is
legal and no average of averages is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Counts = dict[str, list[float]]


def add_counts(many: Iterable[Mapping[str, list[float]]]) -> Counts:
    """Elementwise sum, key by key.

    Raises:
        ValueError: when one key has lists of different lengths.
    """
    total: Counts = {}
    for counts in many:
        for key, values in counts.items():
            if key not in total:
                total[key] = [float(value) for value in values]
            else:
                total[key] = [a + float(b) for a, b in zip(total[key], values, strict=True)]
    return total


def ratio(numerator: float, denominator: float) -> float | None:
    """The quotient, or None (shown as n/a) where nothing was counted."""
    return numerator / denominator if denominator > 0 else None
