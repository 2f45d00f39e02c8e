"""Reading the predictions that a site wrote, and refusing those that cannot be judged."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mediswarm.errors import DataError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_SUM_TOLERANCE = 1e-3  # a file holds six digits of each probability


@dataclass(frozen=True)
class PredictionTable:
    """The predictions for one split of one site.

    `targets` [n] index `classes`; `probabilities` [n, classes]. `cases` are
    ids, which stay at the site.
    """

    classes: tuple[str, ...]
    targets: Ints
    probabilities: Floats
    cases: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.targets)

    def in_order_of(self, cases: Sequence[str]) -> PredictionTable:
        """The same predictions with their rows in the order of `cases`."""
        row_of = {case: row for row, case in enumerate(self.cases)}
        rows = np.array([row_of[case] for case in cases], dtype=np.int64)
        return PredictionTable(self.classes, self.targets[rows], self.probabilities[rows], tuple(cases))


def read_predictions(path: Path, classes: Sequence[str]) -> PredictionTable:
    """Read ``case,target,p_<class>…`` for the ordered `classes`. A file without rows is legal.

    Raises:
        DataError: MS-E001 unreadable, MS-E002 other columns, MS-E003 a
            probability that is none or rows that do not sum to 1, MS-E004 a
            target that is no class index, MS-E005 a case that stands twice.
    """
    rows = _rows(path, ["case", "target", *(f"p_{name}" for name in classes)])
    lines = [line for line, _ in rows]
    targets = np.array([_target(cells[1], len(classes), path, line) for line, cells in rows], dtype=np.int64)
    values = [[_number(cell, path, line) for cell in cells[2:]] for line, cells in rows]
    probabilities = np.array(values, dtype=np.float64).reshape(len(rows), len(classes))
    # The negation also catches NaN, for which every comparison is false.
    outside = [not all(0 <= value <= 1 for value in row) for row in values]
    _refuse(outside, lines, "MS-E003", "a probability that is not in [0, 1]", path)
    unequal = [abs(sum(row) - 1) > _SUM_TOLERANCE for row in values]
    _refuse(unequal, lines, "MS-E003", "probabilities that do not sum to 1", path)
    cases = tuple(cells[0] for _, cells in rows)
    first = {case: row for row, case in reversed(list(enumerate(cases)))}
    twice = [first[case] != row for row, case in enumerate(cases)]
    _refuse(twice, lines, "MS-E005", "a case that stands there already", path)
    return PredictionTable(tuple(classes), targets, probabilities, cases)


def _rows(path: Path, header: list[str]) -> list[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            found = [(reader.line_num, cells) for cells in reader if cells]
    except FileNotFoundError as error:
        raise DataError("MS-E001", "there is no such predictions file", file=path) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        kind = type(error).__name__
        raise DataError("MS-E001", f"the file is not readable CSV ({kind})", file=path) from error
    if not found:
        raise DataError("MS-E001", "the file is empty; not even the column names are there", file=path)
    names = found[0][1]
    if names != header:
        # A first line that is no header may hold a case id, which no message carries.
        has = f"its columns are {', '.join(names)}" if names[0] == "case" else "it has no column names"
        message = f"{has}; for the job's classes they are {', '.join(header)}"
        raise DataError("MS-E002", message, file=path, line=1)
    for line, cells in found[1:]:
        if len(cells) != len(header):
            message = f"the row has {len(cells)} cells instead of {len(header)}"
            raise DataError("MS-E002", message, file=path, line=line)
    return found[1:]


def _target(cell: str, size: int, path: Path, line: int) -> int:
    target = int(cell) if cell.isascii() and cell.isdigit() else -1
    if not 0 <= target < size:
        message = f"the target is not a class index from 0 to {size - 1}"
        raise DataError("MS-E004", message, file=path, line=line)
    return target


def _number(cell: str, path: Path, line: int) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise DataError("MS-E003", "a probability is not a number", file=path, line=line) from error


def _refuse(bad: Sequence[bool], lines: Sequence[int], code: str, what: str, path: Path) -> None:
    if any(bad):
        message = f"{sum(bad)} of {len(bad)} rows have {what}; this is the first"
        raise DataError(code, message, file=path, line=lines[bad.index(True)])
