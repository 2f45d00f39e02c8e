"""Reading a table as its author sees it: every cell is text, nothing is guessed in silence.

Spreadsheets change what they open: they strip leading zeros, turn long ids into
scientific notation, add a byte order mark, separate by semicolon in some countries.
Therefore a table is read as text, and what cannot be told is refused with the repair.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from mediswarm.data.delimited import Row, stripped, text_rows
from mediswarm.data.spreadsheet import worksheet_rows
from mediswarm.errors import DataError

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_SHOWN_NAMES = 12


def read_table(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Read a .csv, .tsv, .txt or .xlsx table as text.

    The separator (comma, semicolon, tab) is the one that makes the header hold the
    required columns. Lines without any content are skipped, and so is a column
    without name and content; both are what spreadsheets leave behind.

    Args:
        path: the file.
        required: columns that must be there; further columns are read as well.

    Returns:
        All columns as `str`, stripped of surrounding white space, the empty string
        where nothing stands. The index, named `line`, is the line in the file
        (the row in a worksheet), counted from 1, for messages.

    Raises:
        DataError: MS-D101 the file cannot be read, MS-D102 the header, MS-D103 a row.
    """
    rows = _rows(path, required)
    first = next(rows, None)
    if first is None:
        raise DataError("MS-D101", "the table is empty", repair="Export the table again.", file=path)
    line, header = first
    _check_header(path, line, header, required)
    lines, cells = [], []
    for line, row in rows:
        if not any(row):
            continue
        lines.append(line)
        cells.append(_fitted(path, line, row, header))
    named = [name for name in header if name]
    kept = [i for i, name in enumerate(header) if name]
    if not cells:
        raise DataError(
            "MS-D101",
            "the table has a header and no rows",
            repair="Fill in the rows, or export the table again.",
            file=path,
        )
    columns = list(zip(*cells, strict=True))
    return pd.DataFrame(
        {name: list(columns[i]) for name, i in zip(named, kept, strict=True)},
        index=pd.Index(lines, name="line"),
        dtype=str,
    )


def _rows(path: Path, required: Sequence[str]) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix not in (*_TEXT_SUFFIXES, ".xlsx"):
        raise DataError(
            "MS-D101",
            f"tables of type {suffix or 'without suffix'} are not read",
            repair="Save the table as .csv (UTF-8) or .xlsx.",
            file=path,
        )
    try:
        # asked before opening, since opening a pipe waits until someone writes to it
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(
                "MS-D101",
                "this is a folder, a pipe or a device",
                repair="Put the table itself at this path.",
                file=path,
            )
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            "MS-D101", "the table is missing", repair="Put the table at this path.", file=path
        ) from error
    except OSError as error:
        raise DataError(
            "MS-D101",
            f"the table cannot be opened ({error.strerror})",
            repair="Give the account that runs MediSwarm permission to read the file.",
            file=path,
        ) from error
    raw = worksheet_rows(path, content) if suffix == ".xlsx" else text_rows(path, content, required)
    return ((line, [stripped(cell) for cell in row]) for line, row in raw)


def _check_header(path: Path, line: int, header: list[str], required: Sequence[str]) -> None:
    named = [name for name in header if name]
    known = set(named)
    twice = sorted({name for name in named if named.count(name) > 1}) if len(known) < len(named) else []
    if twice:
        raise DataError(
            "MS-D102",
            f"the header names {', '.join(map(repr, twice))} twice",
            repair="Keep one column of each name.",
            file=path,
            line=line,
        )
    missing = [name for name in required if name not in known]
    if not missing:
        return
    lowered = {name.lower(): name for name in named}
    renames = []
    for name in missing:
        close = get_close_matches(name.lower(), lowered, n=1)
        if close:
            renames.append(f"rename {lowered[close[0]]!r} to {name!r}")
    rest = f" and {len(named) - _SHOWN_NAMES} more" if len(named) > _SHOWN_NAMES else ""
    shown = ", ".join(map(repr, named[:_SHOWN_NAMES])) + rest
    raise DataError(
        "MS-D102",
        f"the header lacks {', '.join(map(repr, missing))}; it holds {shown or 'no names'}",
        repair=f"In the header, {', '.join(renames)}." if renames else "Add the columns named.",
        file=path,
        line=line,
    )


def _fitted(path: Path, line: int, row: list[str], header: list[str]) -> list[str]:
    """`row` with as many cells as `header`; nothing with content is cut off or left without a name."""
    width = len(header)
    surplus = any(row[width:]) or any(cell for cell, name in zip(row, header, strict=False) if not name)
    last_named = max((i for i, name in enumerate(header) if name), default=0)
    if surplus or len(row) <= last_named:
        filled = max((i + 1 for i, cell in enumerate(row) if cell), default=0)
        raise DataError(
            "MS-D103",
            f"the row has {filled if surplus else len(row)} cells, the header {last_named + 1}",
            repair="Give the row one cell for each column; quote text that holds the separator.",
            file=path,
            line=line,
        )
    return (row + [""] * (width - len(row)))[:width]
