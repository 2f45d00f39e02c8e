"""The numeric columns of a table as one block of numbers, and what is wrong in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mediswarm.data.findings import Finding
from mediswarm.pipelines.tabular.columns import NumericColumn
from mediswarm.pipelines.tabular.rows import Mask, Rows, counted, listed

Block = np.ndarray[Any, np.dtype[np.float64]]
_MOSTLY = 0.5


def numeric_block(
    table: pd.DataFrame, columns: Sequence[NumericColumn], rows: Rows
) -> tuple[Block, list[Finding]]:
    """Parse all numeric columns at once.

    Returns:
        float64 [n, columns] with NaN where a cell is empty, and a finding for each
        rule that is broken: MS-D202 no number, MS-D203 out of range, MS-D204 so
        much out of range that the unit must be another, MS-D206 missing; a WARN
        MS-D212 for what will be imputed.
    """
    names = [column.name for column in columns]
    cells = table[names].to_numpy(dtype=object)
    empty = cells == ""
    values = pd.to_numeric(pd.Series(cells.ravel(), dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    values = values.reshape(cells.shape)
    unreadable = ~np.isfinite(values) & ~empty
    values[unreadable] = np.nan
    low, high = (np.array([column.range[side] for column in columns]) for side in (0, 1))
    outside = (values < low) | (values > high)
    readable = np.maximum((~empty & ~unreadable).sum(axis=0), 1)
    other_unit = outside & (outside.sum(axis=0) > _MOSTLY * readable)
    refused = empty & np.array([column.missing == "refuse" for column in columns])
    findings = [
        *_numbers(cells, unreadable, names, rows),
        *_ranges(other_unit, outside & ~other_unit, columns, rows),
        *missing_cells(refused, empty & ~refused, names, rows, "the agreed mean"),
    ]
    return values, findings


def missing_cells(refused: Mask, imputed: Mask, names: list[str], rows: Rows, by: str) -> list[Finding]:
    """FAIL for empty cells that are `refused`, WARN for those `imputed`; masks are [n, columns]."""
    findings = []
    if refused.any():
        findings.append(
            rows.finding(
                "FAIL",
                "MS-D206",
                "missing values",
                f"{_cells(refused, names)} empty, and the job declares that none may be",
                "Fill in the values, or take the rows out; whether to impute is for the job to declare "
                "(`missing: impute`), for all sites alike.",
                refused,
            )
        )
    if imputed.any():
        findings.append(
            rows.finding(
                "WARN",
                "MS-D212",
                "missing values",
                f"{_cells(imputed, names)} empty and will be replaced by {by}, as the job declares",
                None,
                imputed,
            )
        )
    return findings


def _numbers(cells: np.ndarray[Any, Any], unreadable: Mask, names: list[str], rows: Rows) -> list[Finding]:
    if not unreadable.any():
        return []
    commas = all("," in cell for cell in cells[unreadable])
    repair = (
        "Export the table with decimal points, not decimal commas."
        if commas
        else "Write a plain number; leave the cell empty where the value is missing."
    )
    message = f"{_cells(unreadable, names)} not a number"
    return [rows.finding("FAIL", "MS-D202", "numbers", message, repair, unreadable)]


def _ranges(other_unit: Mask, outside: Mask, columns: Sequence[NumericColumn], rows: Rows) -> list[Finding]:
    findings = []
    for index in np.flatnonzero(other_unit.any(axis=0))[:1]:
        column = columns[index]
        others = int(other_unit.any(axis=0).sum()) - 1
        findings.append(
            rows.finding(
                "FAIL",
                "MS-D204",
                "units",
                f"most values of {column.name!r} lie outside {_span(column)}"
                + (f", and so it is in {counted(others, 'other column')}" if others else ""),
                f"Check the unit and convert the column to {column.unit!r}; all sites measure in it.",
                other_unit[:, index],
            )
        )
    if outside.any():
        first = columns[int(np.flatnonzero(outside.any(axis=0))[0])]
        message = (
            f"{_cells(outside, [column.name for column in columns])} out of the declared range, "
            f"which is {_span(first)} for {first.name!r}"
        )
        repair = "Correct the value at its source; leave the cell empty where it was never measured."
        findings.append(rows.finding("FAIL", "MS-D203", "ranges", message, repair, outside))
    return findings


def _span(column: NumericColumn) -> str:
    return f"[{column.range[0]:g}, {column.range[1]:g}] {column.unit}"


def _cells(wrong: Mask, names: list[str]) -> str:
    """``3 cells in column 'age' are``."""
    number = int(wrong.sum())
    concerned = [names[index] for index in np.flatnonzero(wrong.any(axis=0))]
    where = f"{'column' if len(concerned) == 1 else 'columns'} {listed(concerned)}"
    return f"{counted(number, 'cell')} in {where} {'is' if number == 1 else 'are'}"
