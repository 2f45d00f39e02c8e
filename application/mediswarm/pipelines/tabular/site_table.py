"""One site's table: read, checked by every rule, encoded as the model's inputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mediswarm.data.findings import Finding
from mediswarm.data.tables import read_table
from mediswarm.pipelines.tabular.categorical import Indices, category_indices, class_indices
from mediswarm.pipelines.tabular.columns import Column, NumericColumn, feature_names
from mediswarm.pipelines.tabular.config import SPLITS, TableConfig
from mediswarm.pipelines.tabular.numeric import numeric_block
from mediswarm.pipelines.tabular.rows import Rows, counted, listed, texts
from mediswarm.pipelines.tabular.splits import Splits, splits_of

Features = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class SiteTable:
    """A table as far as it could be understood, and what was found in it.

    `inputs` float32 [n, features] with NaN for a number to be imputed, `targets`
    int64 [n], `splits` [n]. They are to be used only when no finding is a FAIL.
    """

    rows: Rows
    inputs: Features
    targets: Indices
    splits: Splits
    findings: list[Finding]


def read_site_table(
    file: Path, config: TableConfig, columns: Sequence[Column], ignored: Collection[str] | None
) -> SiteTable:
    """Read and check a table.

    Args:
        file: the table.
        config: its label, ids, patients and splits.
        columns: its inputs, in their order.
        ignored: columns that may stand in the table unread; None where any may.

    Raises:
        DataError: MS-D101 to MS-D103 when the file is no table with these columns.
    """
    table = read_table(file, [*(column.name for column in columns), *config.marks])
    rows = Rows.of(file, table, config.id)
    numeric, numbers = numeric_block(table, [c for c in columns if isinstance(c, NumericColumn)], rows)
    levels, categories = category_indices(
        table, [c for c in columns if not isinstance(c, NumericColumn)], rows
    )
    targets, labels = class_indices(table, config.label, rows)
    splits, splitting = splits_of(table, config, targets, rows)
    inputs = _encode(columns, numeric, levels)
    findings = [
        *_undeclared(table, columns, config, ignored, file),
        *numbers,
        *categories,
        *labels,
        *_names(table, config, rows),
        *splitting,
        *_repeated(inputs, targets, splits, rows),
    ]
    return SiteTable(rows, inputs, targets, splits, findings)


def _encode(columns: Sequence[Column], numeric: np.ndarray[Any, Any], levels: list[Indices]) -> Features:
    """Numbers as they are, categories as one column for each level but the first."""
    inputs = np.zeros((len(numeric), len(feature_names(columns))), dtype=np.float32)
    numbers, categories = iter(numeric.T), iter(levels)
    at = 0
    for column in columns:
        if isinstance(column, NumericColumn):
            inputs[:, at] = next(numbers)
            at += 1
        else:
            width = len(column.levels) - 1
            inputs[:, at : at + width] = next(categories)[:, None] == np.arange(1, width + 1)
            at += width
    return inputs


def _undeclared(
    table: pd.DataFrame,
    columns: Sequence[Column],
    config: TableConfig,
    ignored: Collection[str] | None,
    file: Path,
) -> list[Finding]:
    declared = {column.name for column in columns} | set(config.marks) | set(ignored or ())
    others = [name for name in table.columns if name not in declared]
    if not others:
        return []
    if ignored is None:
        return [Finding.passed("columns", f"{counted(len(others), 'further column')} not read")]
    return [
        Finding(
            "FAIL",
            "columns",
            f"the table has {counted(len(others), 'column')} that the job does not declare: {listed(others)}",
            "MS-D201",
            "Take them out of the table, or name them under `ignore` in the job's config.",
            f"{file}:1",
        )
    ]


def _names(table: pd.DataFrame, config: TableConfig, rows: Rows) -> list[Finding]:
    """Every row has an id of its own and a patient."""
    findings = []
    for column, subject in ((config.id, "ids"), (config.patient, "patients")):
        if column is None:
            continue
        names = texts(table, column)
        nameless = names == ""
        if nameless.any():
            message = f"{counted(int(nameless.sum()), 'row')} without a value in column {column!r}"
            repair = "Fill in the column; rows that cannot be told apart cannot be kept apart."
            findings.append(rows.finding("FAIL", "MS-D208", subject, message, repair, nameless))
        twice = pd.Series(names).duplicated(keep=False).to_numpy() & ~nameless
        if column == config.id and twice.any():
            message = f"{counted(int(twice.sum()), 'row')} share an id with another in column {column!r}"
            repair = "Give each row an id of its own; name the patient in a column of its own (`patient:`)."
            findings.append(rows.finding("FAIL", "MS-D208", subject, message, repair, twice))
    return findings


def _repeated(inputs: Features, targets: Indices, splits: Splits, rows: Rows) -> list[Finding]:
    """Rows that are equal in every input and in the label (D10)."""
    keys = pd.Series(
        [row.tobytes() + bytes([target & 255]) for row, target in zip(inputs, targets, strict=True)]
    )
    again = keys.duplicated().to_numpy()
    if not again.any():
        return []
    parted = pd.DataFrame({"key": keys, "split": splits}).groupby("key")["split"].nunique()
    leaking = int(parted[parted > 1].size)
    message = f"{counted(int(again.sum()), 'row')} repeat an earlier row in every input and in the label"
    if leaking:
        message += f"; {counted(leaking, 'group')} of equal rows lie in more than one of {', '.join(SPLITS)}"
    repair = "Make sure that these are different people, and take out rows that were exported twice."
    return [rows.finding("WARN", "MS-D211", "repeated rows", message, repair, again)]
