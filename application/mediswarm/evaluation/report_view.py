"""The report's tables as rows of text, so that the template only lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mediswarm.evaluation.caveats import class_names
from mediswarm.evaluation.result import FEDERATED, LOCAL, Difference, Result
from mediswarm.evaluation.run_facts import ContributionLine

_MINUS, _TO = "\u2212", "\u2013"  # as wide as the plus; the dash of ranges
_OVERALL = ("accuracy", "balanced_accuracy", "brier", "calibration_error")


@dataclass(frozen=True)
class Cell:
    """One value: its text, its interval, and whether it is marked descriptive."""

    text: str = "n/a"
    interval: str = ""
    descriptive: bool = False
    sign: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table: a name, a number of cases, and values."""

    name: str
    support: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Share:
    """What one site contributed over the whole run."""

    site: str
    rounds: int
    cases: str
    steps: int
    weight: float
    loss: str
    left_out: str


class Tables:
    """All tables of a report, by site in the order given."""

    def __init__(
        self, results: Sequence[Result], differences: Sequence[Difference], sites: Sequence[str]
    ) -> None:
        self._found = {(r.site, r.method, r.metric): r for r in results}
        self._differences = {difference.site: difference for difference in differences}
        self.sites = [site for site in sites if any(key[0] == site for key in self._found)]
        self.classes = class_names(list(results))

    def per_site(self) -> list[Row]:
        """Macro AUROC: local, federated, difference."""
        rows = []
        for site in self.sites:
            local, federated = (
                self._found.get((site, method, "auroc_macro")) for method in (LOCAL, FEDERATED)
            )
            support = next((result.support for result in (federated, local) if result), 0)
            cells = (_cell(local), _cell(federated), self._difference(site, local, federated))
            rows.append(Row(site, support, cells))
        return rows

    def per_class(self, site: str) -> list[Row]:
        """For each class AUROC local and federated, then the federated sensitivity and specificity."""
        return [
            Row(
                name,
                self.support(site)[name],
                tuple(
                    _cell(self._found.get((site, method, f"{metric}_{name}")))
                    for method, metric in (
                        (LOCAL, "auroc"),
                        (FEDERATED, "auroc"),
                        (LOCAL, "sensitivity"),
                        (FEDERATED, "sensitivity"),
                        (LOCAL, "specificity"),
                        (FEDERATED, "specificity"),
                    )
                ),
            )
            for name in self.classes
        ]

    def overall(self, site: str) -> list[Row]:
        """Accuracy and calibration, one row for each method."""
        rows = []
        for method in (LOCAL, FEDERATED):
            found = [self._found.get((site, method, metric)) for metric in _OVERALL]
            rows.append(
                Row(method, max((r.support for r in found if r), default=0), tuple(map(_cell, found)))
            )
        return rows

    def support(self, site: str) -> dict[str, int]:
        """Test cases of each class."""
        counts = {}
        for name in self.classes:
            either = (self._found.get((site, method, f"sensitivity_{name}")) for method in (FEDERATED, LOCAL))
            counts[name] = next((result.support for result in either if result), 0)
        return counts

    def _difference(self, site: str, local: Result | None, federated: Result | None) -> Cell:
        if local is None or federated is None or local.value is None or federated.value is None:
            return Cell()
        change, paired = federated.value - local.value, self._differences.get(site)
        interval = ""
        if paired and paired.low is not None and paired.high is not None:
            interval = f"{signed(paired.low, 2)} to {signed(paired.high, 2)}"
        sign = "up" if change > 0 else "down" if change < 0 else ""
        return Cell(signed(change, 3), interval, local.descriptive or federated.descriptive, sign)


def shares(lines: Sequence[ContributionLine], sites: Sequence[str]) -> list[Share]:
    """Who contributed what, summed over rounds; `weight` is the mean share of a round's weight."""
    totals: dict[int, float] = {}
    for line in lines:
        totals[line.round] = totals.get(line.round, 0.0) + (line.weight if line.left_out is None else 0.0)
    return [_share(site, lines, totals) for site in sites]


def signed(value: float, digits: int) -> str:
    """With a sign that is a true minus, as wide as the plus."""
    return f"{value:+.{digits}f}".replace("-", _MINUS)


def _share(site: str, lines: Sequence[ContributionLine], totals: dict[int, float]) -> Share:
    own = [line for line in lines if line.site == site]
    counted = [line for line in own if line.left_out is None]
    cases = sorted({line.cases for line in counted})
    reasons: dict[str, list[str]] = {}
    for line in own:
        if line.left_out is not None:
            reasons.setdefault(line.left_out, []).append(str(line.round + 1))
    losses = [line.loss for line in counted if line.loss is not None]
    weights = [line.weight / totals[line.round] for line in counted if totals[line.round] > 0]
    weight = sum(weights) / len(totals) if weights else 0.0
    return Share(
        site,
        len(counted),
        _TO.join(str(count) for count in (cases[:1] + cases[1:][-1:])) or "0",
        sum(line.steps for line in counted),
        weight,
        f"{losses[0]:.3f} → {losses[-1]:.3f}" if losses else "n/a",
        "; ".join(f"round {', '.join(rounds)}: {reason}" for reason, rounds in reasons.items()),
    )


def _cell(result: Result | None) -> Cell:
    if result is None or result.value is None:
        return Cell()
    interval = f"{result.low:.2f}{_TO}{result.high:.2f}" if result.low is not None else ""
    return Cell(f"{result.value:.3f}", interval, result.descriptive)
