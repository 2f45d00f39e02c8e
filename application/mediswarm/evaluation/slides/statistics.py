"""How good a model is on a site's patients: a table with support and intervals."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mediswarm.evaluation.bootstrap import RESAMPLES, percentile_interval
from mediswarm.evaluation.intervals import Interval, auroc_interval
from mediswarm.evaluation.predictions import Ints
from mediswarm.evaluation.result import WELL_SUPPORTED
from mediswarm.evaluation.slides.judged import JudgedPatients, Label, labels_of
from mediswarm.evaluation.slides.survival_groups import NAMES, SurvivalGroups
from mediswarm.pipelines.stamp.tasks import Task
from mediswarm.pipelines.stamp.tasks.class_scores import SUMMARIES, score_counts, score_metrics
from mediswarm.pipelines.stamp.tasks.survival import Survival

_SEED = 20060215
_OF_A_CATEGORY = ("auroc", "auprc", "f1")
Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Statistic:
    """One row: `value` with the limits of its 95 % interval, None where there is none.

    `support` are the patients that the value rests on: those of the category, those with an event for
    the c-index, else all. `descriptive` marks fewer than ten of them, or of the others.
    """

    label: str
    category: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    support: int
    descriptive: bool

    @property
    def counted(self) -> bool:
        """Whether the value is a number of patients."""
        return self.metric == "events"


def statistics(task: Task, judged: JudgedPatients, groups: SurvivalGroups | None) -> list[Statistic]:
    """All statistics of a task; `groups` are those of a survival task.

    Intervals of AUROCs are Newcombe's (see :func:`auroc_interval`), the others of a bootstrap over patients
    within categories, thirds of the range, or events and censored.
    """
    if labels := labels_of(task, judged):
        return [row for label in labels for row in _of_label(label)]
    strata = [task.stratum(target) for target in judged.targets.tolist()]

    def metrics(rows: Ints) -> Metrics:
        return task.metrics(task.count(judged.predictions[rows], judged.targets[rows]))

    values, limits = metrics(np.arange(len(judged))), _bootstrap(metrics, strata)
    name, patients = task.columns[0], len(judged)
    if not isinstance(task, Survival) or groups is None:
        few = patients < WELL_SUPPORTED
        return [_row(name, "", metric, values[metric], limits, patients, few) for metric in values]
    events = sum(groups.events)
    few = min(events, patients - 1) < WELL_SUPPORTED
    return [
        _row(name, "", "c_index", values["c_index"], limits, events, few),
        Statistic(name, "", "log_rank_p", groups.p, None, None, events, few),
        Statistic(name, "", "log_rank_chi2", groups.chi2, None, None, events, few),
        Statistic(name, "", "risk_cut_off", groups.cut_off, None, None, patients, patients < WELL_SUPPORTED),
        *(
            Statistic(name, group, "events", float(dead), None, None, size, size < WELL_SUPPORTED)
            for group, dead, size in zip(NAMES, groups.events, groups.sizes, strict=True)
        ),
    ]


def write_statistics(path: Path, rows: Sequence[Statistic]) -> None:
    """Write the table, with an empty cell for what is undefined."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([item.name for item in fields(Statistic)])
        writer.writerows([_text(cell) for cell in astuple(row)] for row in rows)


def _of_label(label: Label) -> list[Statistic]:
    known = label.truth >= 0
    probabilities, truth = label.probabilities[known], label.truth[known]

    def metrics(rows: Ints) -> Metrics:
        return score_metrics(score_counts(probabilities[rows], truth[rows]), label.categories)

    strata = [label.categories[place] for place in truth]
    values, limits = metrics(np.arange(len(truth))), _bootstrap(metrics, strata)
    rows = []
    for category in label.categories:
        support = strata.count(category)
        few = min(support, len(truth) - support) < WELL_SUPPORTED
        auroc = values[f"auroc_{category}"]
        if auroc is not None:
            limits[f"auroc_{category}"] = auroc_interval(auroc, support, len(truth) - support)
        rows += [
            _row(label.name, category, metric, values[f"{metric}_{category}"], limits, support, few)
            for metric in _OF_A_CATEGORY
        ]
    few = any(row.descriptive for row in rows)
    rows += [_row(label.name, "", metric, values[metric], limits, len(truth), few) for metric in SUMMARIES]
    return rows


def _row(
    label: str,
    category: str,
    metric: str,
    value: float | None,
    limits: dict[str, Interval],
    support: int,
    descriptive: bool,
) -> Statistic:
    key = f"{metric}_{category}" if category else metric
    low, high = limits.get(key, (None, None)) if value is not None else (None, None)
    return Statistic(label, category, metric, value, low, high, support, descriptive)


def _bootstrap(metrics: Callable[[Ints], Metrics], strata: Sequence[str]) -> dict[str, Interval]:
    """The middle 95 % of each metric over resamples of the patients, within strata.

    A metric that is undefined in a resample, or the same in all, has no interval; without patients none has.
    """
    if not strata:
        return {}
    names = np.array(strata)
    members = [np.flatnonzero(names == name) for name in sorted(set(strata))]
    generator = np.random.default_rng(_SEED)
    found: dict[str, list[float | None]] = {}
    for _ in range(RESAMPLES):
        drawn = [group[generator.integers(len(group), size=len(group))] for group in members]
        for name, value in metrics(np.concatenate(drawn)).items():
            found.setdefault(name, []).append(value)
    limits = {}
    for name, values in found.items():
        defined = np.array([value for value in values if value is not None])
        if len(defined) == len(values) and (interval := percentile_interval(defined)):
            limits[name] = interval
    return limits


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return "" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)
