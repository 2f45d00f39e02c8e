"""From a trained model and a site's data to predictions, statistics and figures in one folder."""

from __future__ import annotations

import logging
from pathlib import Path

from mediswarm.evaluation.slides.judged import Split, judge, labels_of
from mediswarm.evaluation.slides.prediction_file import write_patient_predictions
from mediswarm.evaluation.slides.statistics import Statistic, statistics, write_statistics
from mediswarm.evaluation.slides.survival_groups import SurvivalGroups
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines.base import Site
from mediswarm.pipelines.stamp.tasks.regression import Regression
from mediswarm.pipelines.stamp.tasks.survival import Survival

log = logging.getLogger(__name__)


def predict_site(trained: TrainedModel, site: Site, split: Split, out: Path) -> list[Statistic]:
    """Write `patient-preds.csv`, `statistics.csv` and the figures (SVG) that fit the task.

    Statistics and figures are of the patients with a label; without any, there are none.

    Raises:
        DataError, RunFailed: see :func:`mediswarm.evaluation.slides.judged.judge`.
    """
    from mediswarm.evaluation.slides import figures  # matplotlib takes its time to load

    task = trained.pipeline.task
    predicted = judge(trained, site, split)
    write_patient_predictions(out / "patient-preds.csv", task, predicted)
    judged = predicted.labelled()
    if missing := len(predicted) - len(judged):
        log.warning(
            "site %s: %d of %d patients have no %s: %s",
            site.name,
            missing,
            len(predicted),
            " or ".join(task.columns),
            "statistics are of the others"
            if len(judged)
            else "predictions are written, statistics are left out",
        )
    if not len(judged):
        return []
    groups = SurvivalGroups.of(judged, trained.cut_off) if isinstance(task, Survival) else None
    rows = statistics(task, judged, groups)
    write_statistics(out / "statistics.csv", rows)
    labels = labels_of(task, judged)
    for number, label in enumerate(labels):
        name = "roc.svg" if len(labels) == 1 else f"roc-{number + 1}.svg"
        figures.write_figure(out / name, figures.roc_figure(label, judged.ids, rows))
    if isinstance(task, Survival) and groups is not None:
        drawn = figures.survival_figure(groups, task.config.unit)
        figures.write_figure(out / "kaplan-meier.svg", drawn)
    if isinstance(task, Regression):
        drawn = figures.regression_figure(judged, task.config.label, task.config.unit, rows)
        figures.write_figure(out / "scatter.svg", drawn)
    return rows
