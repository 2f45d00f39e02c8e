"""The label table: what it says is checked by row, before anything is prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediswarm.data.prepare.labels import LabelledExamination, read_labels
from mediswarm.errors import DataError

HEADER = "Case;PatientID;Age;Side;Lesion;Folder\n"
GOOD = "C1;P1;50;left;0;exam 1\nC1;P1;50;right;2;exam 1\n"


def read(tmp_path: Path, rows: str) -> list[LabelledExamination]:
    file = tmp_path / "labels.csv"
    file.write_text(HEADER + rows)
    return read_labels(file)


def test_rows_of_both_sides_are_one_examination(tmp_path: Path) -> None:
    (one,) = read(tmp_path, GOOD)
    assert (one.case, one.folder, one.patient, one.age) == ("C1", "exam 1", "P1", "50")
    assert one.lesions == {"left": "0", "right": "2"}


def test_a_breast_is_left_out_only_by_a_word(tmp_path: Path) -> None:
    (one,) = read(tmp_path, GOOD.replace("right;2", "right;excluded"))
    assert one.lesions == {"left": "0"}


def test_without_a_folder_the_case_names_it(tmp_path: Path) -> None:
    (one,) = read(tmp_path, GOOD.replace("exam 1", ""))
    assert one.folder == "C1"


@pytest.mark.parametrize(
    ("column", "ids", "said"),
    [
        ("PatientID", ("1E5", "P2"), "scientific"),
        ("PatientID", ("07", "7"), "zeros"),
        ("Case", ("1", "01"), "zeros"),
    ],
)
def test_ids_that_a_check_would_refuse_are_not_taken(
    tmp_path: Path, column: str, ids: tuple[str, str], said: str
) -> None:
    old = {"Case": "C1", "PatientID": "P1"}[column]
    rows = [GOOD.replace("C1", f"C{i}").replace("P1", f"P{i}").replace("exam 1", f"exam {i}") for i in (1, 2)]
    rows = [row.replace(old.replace("1", str(i)), uid) for i, row, uid in zip((1, 2), rows, ids, strict=True)]
    with pytest.raises(DataError) as caught:
        read(tmp_path, "".join(rows))
    assert (caught.value.code, column in caught.value.message) == ("MS-D104", True)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("right;2", "right;3", "MS-X005", "Lesion is '3'"),
        ("right;2", "right;", "MS-X005", "Lesion is ''"),
        ("right;2", "links;2", "MS-X005", "Side is 'links'"),
        ("right;2", "left;2", "MS-X005", "in two rows"),
        ("C1;P1;50;right;2;exam 1\n", "", "MS-X006", "right breast"),
        ("C1;P1;50;right", "C1;P2;50;right", "MS-X005", "different values of PatientID"),
        ("50", "fifty", "MS-X005", "Age is 'fifty'"),
        ("50", "150", "MS-X005", "Age is '150'"),
        ("C1", "C/1", "MS-X005", "Case is 'C/1'"),
        ("exam 1", "../exam", "MS-X005", "name of a folder"),
        ("exam 1", "..", "MS-X005", "name of a folder"),
        ("exam 1", ".", "MS-X005", "name of a folder"),
        ("exam 1", "/data", "MS-X005", "name of a folder"),
        (
            "C1;P1;50;right;2;exam 1\n",
            "C1;P1;50;right;2;exam 1\n" + GOOD.replace("C1", "c1"),
            "MS-X005",
            "letter case",
        ),
        (
            "C1;P1;50;right;2;exam 1\n",
            "C1;P1;50;right;2;exam 1\n" + GOOD.replace("C1", "C2"),
            "MS-X005",
            "same Folder",
        ),
        (
            "C1;P1;50;right;2;exam 1\n",
            "C1;P1;50;right;2;exam 1\n" + GOOD.replace("C1", "C2").replace("exam 1", "2").replace("P1", "p1"),
            "MS-X005",
            "letter case only",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, old: str, new: str, code: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(DataError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert caught.value.code == code
    assert said in caught.value.message
    assert caught.value.line is not None
