"""Ids that a spreadsheet program has changed: lost leading zeros, scientific notation."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pandas as pd

from mediswarm.data.findings import Finding

_SCIENTIFIC = re.compile(r"\d([.,]\d+)?[eE]\+?\d+")


def changed_within(ids: pd.Series[str], file: Path) -> Iterator[Finding]:
    """FAIL for ids in scientific notation, and for one id spelt with and without leading zeros.

    Args:
        ids: a column of ids, named as in the file, indexed by the line.
        file: the table they stand in.
    """
    scientific = ids[ids.map(lambda text: _SCIENTIFIC.fullmatch(text) is not None)]
    if len(scientific):
        rows = f"{len(scientific)} row" + ("s" if len(scientific) != 1 else "")
        place = f"{file}:{scientific.index[0]}"
        yield _finding(f"{ids.name} is in scientific notation in {rows}", place, scientific)
    spellings: dict[str, set[str]] = defaultdict(set)
    for text in ids[ids != ""]:
        spellings[_without_zeros(text)].add(text)
    groups = [sorted(group) for group in spellings.values() if len(group) > 1]
    if groups:
        yield _finding(
            f"values of {ids.name} that are spelt with and without leading zeros: {len(groups)}",
            str(file),
            [text for group in groups for text in group],
        )


def changed_against(
    given: AbstractSet[str], others: AbstractSet[str], what: str, file: Path, column: str = "UID"
) -> Iterator[Finding]:
    """FAIL when ids of `file` are not among `others`, and would be with other leading zeros.

    Args:
        given: the ids of `file`.
        others: the ids they are held against.
        what: a name for `others`.
        file: the table that `given` stand in.
        column: the column of `file` that they stand in.
    """
    stripped = {_without_zeros(uid) for uid in others - given}
    changed = sorted(uid for uid in given - others if _without_zeros(uid) in stripped)
    if changed:
        yield _finding(
            f"values of {column} that differ from {what} only in leading zeros: {len(changed)}",
            str(file),
            changed,
        )


def _without_zeros(text: str) -> str:
    return text.lstrip("0") or "0"


def _finding(message: str, place: str, ids: Iterable[str]) -> Finding:
    return Finding(
        "FAIL",
        "tables",
        f"{message}; a spreadsheet program has probably changed them",
        "MS-D104",
        "Export the table again with the id columns formatted as text.",
        place,
        tuple(ids),
    )
