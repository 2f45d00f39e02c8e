"""Categorical columns and the label: declared texts to indices, and what is not declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mediswarm.data.findings import Finding
from mediswarm.pipelines.tabular.columns import CategoricalColumn
from mediswarm.pipelines.tabular.config import Label
from mediswarm.pipelines.tabular.numeric import missing_cells
from mediswarm.pipelines.tabular.rows import Rows, counted, listed, texts

Indices = np.ndarray[Any, np.dtype[np.int64]]


def category_indices(
    table: pd.DataFrame, columns: Sequence[CategoricalColumn], rows: Rows
) -> tuple[list[Indices], list[Finding]]:
    """The level of each cell, [n] for each column; -1 where it is none.

    Findings: MS-D205 for a text that is not declared, MS-D206 and MS-D212 for
    missing values, as in :func:`mediswarm.pipelines.tabular.numeric.numeric_block`.
    """
    indices, findings = [], []
    for column in columns:
        cells = texts(table, column.name)
        indices.append(_positions(cells, {level: i for i, level in enumerate(column.levels)}))
        empty = (cells == "")[:, None]
        never = np.zeros_like(empty)
        imputed, refused = (empty, never) if column.missing == "impute" else (never, empty)
        findings += missing_cells(refused, imputed, [column.name], rows, "a category of its own")
        unknown = (indices[-1] < 0) & (cells != "")
        if unknown.any():
            findings.append(
                rows.finding(
                    "FAIL",
                    "MS-D205",
                    "categories",
                    f"{counted(int(unknown.sum()), 'cell')} in column {column.name!r} "
                    f"{'holds' if unknown.sum() == 1 else 'hold'} a text that is not declared",
                    f"Write one of {listed(list(column.categories), 12)}, spelt exactly so.",
                    unknown,
                )
            )
    return indices, findings


def class_indices(table: pd.DataFrame, label: Label, rows: Rows) -> tuple[Indices, list[Finding]]:
    """The class of each row [n], -1 where the label is not declared (MS-D207)."""
    coded = {value: index for index, item in enumerate(label.classes) for value in item.codes}
    targets = _positions(texts(table, label.column), coded)
    unknown = targets < 0
    if not unknown.any():
        return targets, []
    declared = "; ".join(f"{item.name}: {listed(list(item.codes), 12)}" for item in label.classes)
    finding = rows.finding(
        "FAIL",
        "MS-D207",
        "labels",
        f"{counted(int(unknown.sum()), 'row')} in column {label.column!r} "
        f"{'has' if unknown.sum() == 1 else 'have'} a label that the job does not declare",
        f"Code the labels as the job does ({declared}); take out rows whose label is not known.",
        unknown,
    )
    return targets, [finding]


def _positions(cells: np.ndarray[Any, Any], coded: dict[str, int]) -> Indices:
    return np.array([coded.get(cell, -1) for cell in cells], dtype=np.int64)
