"""Rows of a delimited text file: encoding and separator are recognised, or refused with the repair."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from mediswarm.errors import DataError

Row = tuple[int, list[str]]
"""Line in the file, counted from 1, and the cells as they stand there."""

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_STRIPPED = " \t\r\n\v\f\u00a0\u2007\u202f\u200b\ufeff"


def stripped(cell: str) -> str:
    """Without the white space, visible or not, that spreadsheets and copied text leave around a cell."""
    return cell.strip(_STRIPPED)


def text_rows(path: Path, content: bytes, required: Sequence[str]) -> Iterator[Row]:
    """Line in the file, counted from 1, and cells of each record.

    Args:
        path: the file, for messages.
        content: its bytes.
        required: column names by which the separator is told.

    Raises:
        DataError: MS-D101 not UTF-8 text, MS-D102 the separator cannot be told,
            MS-D103 a line cannot be split.
    """
    text = _decoded(path, content)
    skipped = 0
    while text and not text.split("\n", 1)[0].strip():
        text, skipped = text.partition("\n")[2], skipped + 1
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep="):
        # Excel's own way to state the separator in the file
        separator, text, skipped = first.strip("\r\n")[4:5], rest, skipped + 1
    else:
        separator = _separator(path, first, required)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            yield skipped + reader.line_num, row
    except csv.Error as error:
        if "field limit" in str(error):
            raise DataError(
                "MS-D103",
                f"a cell has more than {csv.field_size_limit()} characters",
                repair="Shorten the cell; if it is short, close the quotation mark that opens in this "
                "line or above.",
                file=path,
                line=skipped + reader.line_num,
            ) from error
        raise DataError(
            "MS-D103",
            f"the line cannot be split into cells ({error})",
            repair="Close the quotation mark, or double one that belongs to the text.",
            file=path,
            line=skipped + reader.line_num,
        ) from error


def _decoded(path: Path, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            "MS-D101",
            "the table is not UTF-8 text",
            repair="Save it again as 'CSV UTF-8'; a guessed encoding could change names and ids.",
            file=path,
            line=content.count(b"\n", 0, error.start) + 1,
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise DataError(
            "MS-D101",
            f"the file is damaged or no text table; it holds zero bytes: {text.count(chr(0))}",
            repair="Export the table again from where it comes from.",
            file=path,
            line=text.count("\n", 0, text.index("\0")) + 1,
        )
    return text


def _separator(path: Path, header: str, required: Sequence[str]) -> str:
    split = {separator: _names(header, separator) for separator in _SEPARATORS}
    fitting = [separator for separator, names in split.items() if set(required) <= set(names)]
    best = max(fitting or split, key=lambda separator: len(split[separator]))
    rivals = [s for s in (fitting or split) if s != best and len(split[s]) == len(split[best]) > 1]
    if rivals:
        names = " and ".join(_SEPARATORS[s] for s in (best, *rivals))
        raise DataError(
            "MS-D102",
            f"the header can be split by {names} alike",
            repair="Save the table with one separator; quote names that hold it.",
            file=path,
            line=1,
        )
    return best


def _names(header: str, separator: str) -> list[str]:
    try:
        return [stripped(cell) for cell in next(csv.reader([header], delimiter=separator), [])]
    except csv.Error:
        # a wide header is longer than a cell may be where the separator does not split it
        return []
