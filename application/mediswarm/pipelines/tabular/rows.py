"""Rows of a table by mask: the line of the first, the ids of all, as a finding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mediswarm.data.findings import Finding, Status

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Rows:
    """The rows of one table: `file`, `lines` in it, and the `ids` by which the site knows them."""

    file: Path
    lines: list[int]
    ids: list[str]

    @classmethod
    def of(cls, file: Path, table: pd.DataFrame, id_column: str | None) -> Rows:
        """Rows named by their id column, or by their line where there is none."""
        lines = [int(line) for line in table.index]
        ids = list(table[id_column]) if id_column else [f"line-{line}" for line in lines]
        return cls(file, lines, ids)

    def finding(
        self, status: Status, code: str, subject: str, message: str, repair: str | None, wrong: Mask
    ) -> Finding:
        """A finding on the rows with anything `wrong` ([n] or [n, columns]), placed at the first."""
        where = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
        return Finding(
            status,
            subject,
            message,
            code,
            repair,
            f"{self.file}:{self.lines[where[0]]}",
            tuple(self.ids[row] for row in where),
        )


def texts(table: pd.DataFrame, column: str) -> np.ndarray[Any, np.dtype[np.object_]]:
    """The cells [n] of one column."""
    return table[column].to_numpy(dtype=object)


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: list[str], limit: int = 5) -> str:
    """At most `limit` names in quotation marks, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit:,} more" if len(names) > limit else "")
