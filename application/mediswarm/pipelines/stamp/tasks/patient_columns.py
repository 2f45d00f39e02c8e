"""How the columns of a table are called that has a row of predictions for each patient."""

from __future__ import annotations

from mediswarm.pipelines.stamp.tasks.classification import Classification
from mediswarm.pipelines.stamp.tasks.interface import Task
from mediswarm.pipelines.stamp.tasks.label import Label
from mediswarm.pipelines.stamp.tasks.multi_target import MultiTarget


def labels_with_categories(task: Task) -> tuple[Label, ...]:
    """The labels of a task with categories; none of another task."""
    if isinstance(task, Classification):
        return (task.config,)
    return task.config.targets if isinstance(task, MultiTarget) else ()


def patient_columns(task: Task) -> list[str]:
    """The columns, as STAMP names them.

    Classification: `PATIENT,<label>,pred,<label>_<category>…`, with several labels
    `PATIENT,<label>,pred_<label>,<label>_<category>…,<label>…`. Regression: `PATIENT,<label>,pred`. Survival:
    `PATIENT,<time>,<status>,pred`.
    """
    names, several = ["PATIENT"], isinstance(task, MultiTarget)
    labels = labels_with_categories(task)
    for label in labels:
        names += [label.label, f"pred_{label.label}" if several else "pred"]
        names += [f"{label.label}_{category}" for category in label.categories]
    return names if labels else [*names, *task.columns, "pred"]
