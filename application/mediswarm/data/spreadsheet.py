"""Rows of an .xlsx worksheet as the text that its author sees."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from mediswarm.errors import DataError

_ZEROS = re.compile(r"0+")


def worksheet_rows(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Row number, counted from 1, and cells of the only worksheet with content.

    A number formatted by zeros (`00000`) is given with its leading zeros.

    Raises:
        DataError: MS-D101 no workbook, or several worksheets with content;
            MS-D103 a cell holds a spreadsheet error such as #REF!.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(io.BytesIO(content), data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(
            "MS-D101",
            "this is not a readable .xlsx workbook",
            repair="Open it in the spreadsheet program and save it again, or save it as CSV UTF-8.",
            file=path,
        ) from error
    filled = [
        sheet for sheet in book.worksheets if any(cell is not None for row in sheet.values for cell in row)
    ]
    if len(filled) > 1:
        raise DataError(
            "MS-D101",
            f"the workbook has {len(filled)} worksheets with content; which one counts cannot be told",
            repair="Keep one worksheet, or save the right one as CSV UTF-8.",
            file=path,
        )
    for sheet in filled:
        started = False
        for number, row in enumerate(sheet.iter_rows(), start=1):
            started = started or any(cell.value is not None for cell in row)
            if started:
                yield number, [_text(path, number, cell) for cell in row]


def _text(path: Path, number: int, cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        raise DataError(
            "MS-D103",
            f"cell {cell.coordinate} holds the spreadsheet error {value}",
            repair="Correct the formula, or write the value.",
            file=path,
            line=number,
        )
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and _ZEROS.fullmatch(cell.number_format):
        return str(value).zfill(len(cell.number_format))
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
