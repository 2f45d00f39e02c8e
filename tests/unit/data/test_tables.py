"""D11: what spreadsheets do to tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from mediswarm.data.tables import read_table
from mediswarm.errors import DataError

REQUIRED = ("UID", "Lesion")


def written(tmp_path: Path, content: bytes, name: str = "annotation.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def workbook(tmp_path: Path, *sheets: list[list[Any]], number_format: str | None = None) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for index, rows in enumerate(sheets):
        sheet = book.create_sheet(f"sheet {index}")
        for row in rows:
            sheet.append(row)
        if number_format:
            for cell in sheet["A"]:
                cell.number_format = number_format
    path = tmp_path / "annotation.xlsx"
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"UID,Lesion\n007,1\n012,2\n", "annotation.csv"),
        (b"UID;Lesion\r\n007;1\r\n012;2\r\n", "annotation.csv"),
        (b"UID\tLesion\n007\t1\n012\t2\n", "annotation.tsv"),
        (b"\xef\xbb\xbfUID,Lesion\n007,1\n012,2\n", "annotation.csv"),
        ("UID\tLesion\n007\t1\n012\t2\n".encode("utf-16"), "annotation.txt"),
        (b" UID , Lesion \n 007 ,1 \n012\xc2\xa0, 2\n", "annotation.csv"),
        (b"sep=;\nUID;Lesion\n007;1\n012;2\n", "annotation.csv"),
        (b"UID;Lesion;;\n007;1;;\n012;2;;\n;;;\n", "annotation.csv"),
        (b'"UID","Lesion"\n"007","1"\n"012","2"', "annotation.csv"),
        (b"UID,Lesion\r007,1\r012,2\r", "annotation.csv"),
    ],
    ids=["comma", "semicolon", "tab", "bom", "utf16", "spaces", "sep", "empty-columns", "quoted", "old-mac"],
)
def test_every_spelling_gives_the_same_table(tmp_path: Path, content: bytes, name: str) -> None:
    table = read_table(written(tmp_path, content, name), REQUIRED)
    assert table.to_dict("list") == {"UID": ["007", "012"], "Lesion": ["1", "2"]}


def test_the_index_is_the_line_in_the_file(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, b'\nUID,Lesion\n1,"a\nb"\n\n2,c\n'), REQUIRED)
    assert table.index.name == "line"
    assert table.index.tolist() == [4, 6]


def test_missing_values_are_empty_strings_and_nothing_is_converted(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, b"UID,Lesion,note\n1,,NA\n2,1.50,nan\n"), REQUIRED)
    assert table["Lesion"].tolist() == ["", "1.50"]
    assert table["note"].tolist() == ["NA", "nan"]


def test_a_workbook_is_read_as_shown(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["UID", "Lesion"], [7, 1.0], [12, 2.5]], number_format="0000")
    assert read_table(path, REQUIRED).to_dict("list") == {"UID": ["0007", "0012"], "Lesion": ["1", "2.5"]}


@pytest.mark.parametrize(
    ("content", "code", "line", "rule", "repair"),
    [
        (b"", "MS-D101", None, "empty", "Export"),
        (b"UID,Lesion\n", "MS-D101", None, "no rows", "Fill in the rows"),
        (b"UID,Lesion\nM\xfcller,1\n", "MS-D101", 2, "not UTF-8", "CSV UTF-8"),
        (b"UID,Lesion\n1,\x00\n", "MS-D101", 2, "zero bytes: 1", "Export the table again"),
        (b"uid,lesion\n1,2\n", "MS-D102", 1, "lacks 'UID', 'Lesion'", "rename 'uid' to 'UID'"),
        (b"UID,Age\n1,2\n", "MS-D102", 1, "lacks 'Lesion'", "Add the columns"),
        (b"UID,Lesion,Lesion\n1,2,3\n", "MS-D102", 1, "'Lesion' twice", "Keep one"),
        (b"UID,Lesion\n1,2\n3;4\n", "MS-D103", 3, "1 cells, the header 2", "one cell for each column"),
        (b"UID,Lesion\n1,2,5\n", "MS-D103", 2, "3 cells, the header 2", "quote text"),
        (b'UID,Lesion\n"1,2\n', "MS-D103", 2, "cannot be split", "quotation mark"),
        (b"UID,Lesion\n" + b"1" * 300_000, "MS-D103", 2, "more than 131072 characters", "Shorten the cell"),
    ],
    ids=[
        "empty",
        "no-rows",
        "latin1",
        "binary",
        "case",
        "column",
        "twice",
        "mixed",
        "surplus",
        "quote",
        "long",
    ],
)
def test_a_damaged_table_is_refused_with_the_repair(
    tmp_path: Path, content: bytes, code: str, line: int | None, rule: str, repair: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_table(path, REQUIRED)
    assert (caught.value.code, caught.value.file, caught.value.line) == (code, str(path), line)
    assert rule in caught.value.message
    assert repair in caught.value.repair


def test_a_header_that_two_separators_split_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b;c\n1,2;3\n")
    with pytest.raises(DataError, match="comma and semicolon alike") as caught:
        read_table(path, ())
    assert caught.value.code == "MS-D102"


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MS-D101.*split\.csv.*missing"):
        read_table(tmp_path / "split.csv", REQUIRED)


def test_a_table_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.symlink_to(path)
    with pytest.raises(DataError, match=r"MS-D101.*split\.csv.*cannot be opened") as caught:
        read_table(path, REQUIRED)
    assert "permission" in caught.value.repair


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "split.csv")
    with pytest.raises(DataError, match=r"MS-D101.*split\.csv.*a pipe"):
        read_table(tmp_path / "split.csv", REQUIRED)


def test_other_file_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"type \.xls are not read"):
        read_table(written(tmp_path, b"x", "annotation.xls"), REQUIRED)


def test_a_broken_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MS-D101.*not a readable \.xlsx"):
        read_table(written(tmp_path, b"PK not a zip", "annotation.xlsx"), REQUIRED)


def test_a_workbook_with_two_filled_sheets_is_refused(tmp_path: Path) -> None:
    rows = [["UID", "Lesion"], ["1", "2"]]
    with pytest.raises(DataError, match="2 worksheets with content"):
        read_table(workbook(tmp_path, rows, rows), REQUIRED)


def test_a_spreadsheet_error_in_a_cell_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path, [["UID", "Lesion"], ["1", "#REF!"]])
    with pytest.raises(DataError, match="cell B2 holds the spreadsheet error #REF!") as caught:
        read_table(path, REQUIRED)
    assert (caught.value.code, caught.value.line) == ("MS-D103", 2)
