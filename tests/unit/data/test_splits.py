"""D1, D2, D4, D11: the annotation, the split table and the images held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from mediswarm.data.findings import Finding
from mediswarm.data.split_checks import check_splits
from mediswarm.data.splits import LabelledCase, SplitTables

CLASSES = ("none", "benign", "malignant")
ANNOTATION = [
    ("a", "p1", "0"),
    ("b", "p1", "2"),
    ("c", "p2", "1"),
    ("d", "p3", "0"),
]
SPLIT = [("a", "train", "0"), ("b", "train", "0"), ("c", "val", "0"), ("d", "test", "0")]
IMAGES = ("a", "b", "c", "d")


def tables(
    folder: Path,
    annotation: Sequence[tuple[str, str, str]] = ANNOTATION,
    split: Sequence[tuple[str, str, str]] = SPLIT,
    fold: int = 0,
) -> SplitTables:
    for name, header, rows in (
        ("annotation", "UID,PatientID,Lesion", annotation),
        ("split", "UID,Split,Fold", split),
    ):
        (folder / f"{name}.csv").write_text("\n".join([header, *map(",".join, rows)]) + "\n")
    return SplitTables.read(folder, fold, ["Lesion"])


def test_sound_tables_pass_with_counts(tmp_path: Path) -> None:
    (finding,) = check_splits(tables(tmp_path), set(IMAGES), CLASSES)
    assert finding.status == "PASS"
    assert finding.message == "4 cases of 3 patients in fold 0; no patient in two splits"


def test_cases_come_in_the_order_of_the_split_table(tmp_path: Path) -> None:
    cases = tables(tmp_path, split=SPLIT[::-1]).cases()
    assert cases["train"] == [LabelledCase("b", "p1", (2,)), LabelledCase("a", "p1", (0,))]
    assert [case.uid for case in cases["val"] + cases["test"]] == ["c", "d"]


def test_only_the_rows_of_the_fold_count(tmp_path: Path) -> None:
    other = [("a", "val", "1"), ("b", "val", "1"), ("c", "train", "1"), ("d", "train", "1")]
    first, second = (tables(tmp_path, split=[*SPLIT, *other], fold=fold) for fold in (0, 1))
    assert [
        f.status
        for f in check_splits(first, set(IMAGES), CLASSES) + check_splits(second, set(IMAGES), CLASSES)
    ] == ["PASS"] * 2
    assert [case.uid for case in second.cases()["train"]] == ["c", "d"]


def test_a_workbook_may_stand_in_place_of_a_csv(tmp_path: Path) -> None:
    tables(tmp_path)
    book = openpyxl.Workbook()
    for row in [("UID", "PatientID", "Lesion"), *ANNOTATION]:
        book.active.append(row)
    book.save(tmp_path / "annotation.xlsx")
    (tmp_path / "annotation.csv").unlink()
    read = SplitTables.read(tmp_path, 0, ["Lesion"])
    assert read.annotation_file == tmp_path / "annotation.xlsx"
    assert [case.uid for case in read.cases()["train"]] == ["a", "b"]


BROKEN = {
    "D1-patient-in-two-splits": (
        ANNOTATION,
        [("a", "train", "0"), ("b", "val", "0"), *SPLIT[2:]],
        IMAGES,
        (
            "MS-D110",
            "FAIL",
            "patients in more than one split of fold 0: 1",
            "one split",
            "split.csv",
            ("p1",),
        ),
    ),
    "D1-patient-spelt-in-two-cases": (
        [ANNOTATION[0], ("b", "P1", "2"), *ANNOTATION[2:]],
        [("a", "train", "0"), ("b", "val", "0"), *SPLIT[2:]],
        IMAGES,
        (
            "MS-D110",
            "WARN",
            "values of PatientID in different splits of fold 0 that differ only in upper and lower case: 1",
            "spell them alike",
            "split.csv",
            ("P1", "p1"),
        ),
    ),
    "D1-id-spelt-in-two-cases": (
        [*ANNOTATION[:3], ("A", "p3", "0")],
        [*SPLIT[:3], ("A", "test", "0")],
        ("A", "a", "b", "c"),
        ("MS-D110", "WARN", "values of UID in different splits", "spell them alike", "split.csv", ("A", "a")),
    ),
    "D2-not-annotated": (
        ANNOTATION[1:],
        SPLIT,
        IMAGES,
        ("MS-D112", "FAIL", "that are not in the annotation: 1", "Annotate", "split.csv:2", ("a",)),
    ),
    "D2-without-image": (
        ANNOTATION,
        SPLIT,
        ("a", "b"),
        ("MS-D113", "FAIL", "that have no image: 2", "Add", "split.csv:4", ("c", "d")),
    ),
    "D2-annotated-twice": (
        [*ANNOTATION, ("a", "p1", "2")],
        SPLIT,
        IMAGES,
        ("MS-D111", "FAIL", "more than once in the annotation: 1", "one row", "annotation.csv:6", ("a",)),
    ),
    "D2-twice-in-the-split": (
        ANNOTATION,
        [*SPLIT, SPLIT[0]],
        IMAGES,
        (
            "MS-D111",
            "FAIL",
            "more than once in fold 0 of the split table: 1",
            "one row",
            "split.csv:6",
            ("a",),
        ),
    ),
    "D2-in-no-split": (
        ANNOTATION,
        SPLIT[:3],
        ("a", "b", "c"),
        (
            "MS-D118",
            "WARN",
            "annotated cases that are in no split of fold 0 and not used: 1",
            "Add them",
            "annotation.csv",
            ("d",),
        ),
    ),
    "D2-image-in-no-table": (
        ANNOTATION,
        SPLIT,
        (*IMAGES, "e", "f"),
        (
            "MS-D118",
            "WARN",
            "images that are in no split of fold 0 and not used: 2",
            "Add them",
            "split.csv",
            ("e", "f"),
        ),
    ),
    "D4-another-coding": (
        [(uid, patient, str(int(label) + 1)) for uid, patient, label in ANNOTATION],
        SPLIT,
        IMAGES,
        ("MS-D116", "FAIL", "Lesion is '3' in 1 row", "0 = none, 1 = benign", "annotation.csv:3", ("b",)),
    ),
    "D4-words": (
        [("a", "p1", "healthy"), *ANNOTATION[1:]],
        SPLIT,
        IMAGES,
        ("MS-D116", "FAIL", "Lesion is 'healthy'", "2 = malignant", "annotation.csv:2", ("a",)),
    ),
    "D11-zeros-lost-in-the-split": (
        [("007", "p1", "0"), *ANNOTATION[1:]],
        [("7", "train", "0"), *SPLIT[1:]],
        ("007", *IMAGES[1:]),
        (
            "MS-D104",
            "FAIL",
            "differ from the annotation only in leading zeros: 1",
            "as text",
            "split.csv",
            ("7",),
        ),
    ),
    "D11-zeros-lost-in-both-tables": (
        [("7", "p1", "0"), *ANNOTATION[1:]],
        [("7", "train", "0"), *SPLIT[1:]],
        ("007", *IMAGES[1:]),
        ("MS-D104", "FAIL", "differ from the image folders", "as text", "annotation.csv", ("7",)),
    ),
    "D11-patient-spelt-twice": (
        [("a", "01", "0"), ("b", "1", "2"), *ANNOTATION[2:]],
        SPLIT,
        IMAGES,
        (
            "MS-D104",
            "FAIL",
            "PatientID that are spelt with and without leading zeros: 1",
            "as text",
            "annotation.csv",
            ("01", "1"),
        ),
    ),
    "D11-scientific": (
        [("a", "1.2E+11", "0"), *ANNOTATION[1:]],
        SPLIT,
        IMAGES,
        ("MS-D104", "FAIL", "PatientID is in scientific notation", "as text", "annotation.csv:2", None),
    ),
    "empty-patient": (
        [("a", "", "0"), *ANNOTATION[1:]],
        SPLIT,
        IMAGES,
        ("MS-D105", "FAIL", "PatientID is empty in 1 row", "Fill", "annotation.csv:2", None),
    ),
    "unknown-split": (
        ANNOTATION,
        [("a", "training", "0"), *SPLIT[1:]],
        IMAGES,
        ("MS-D115", "FAIL", "'training'", "train, val, test", "split.csv:2", ("a",)),
    ),
    "no-such-fold": (
        ANNOTATION,
        [(uid, split, "3") for uid, split, _ in SPLIT],
        IMAGES,
        ("MS-D114", "FAIL", "no row with Fold 0; its folds are '3'", "config.fold", "split.csv", None),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_rule_is_one_finding_with_file_and_repair(tmp_path: Path, name: str) -> None:
    annotation, split, images, (code, status, message, repair, file, cases) = BROKEN[name]
    found = check_splits(tables(tmp_path, annotation, split), set(images), CLASSES)
    finding = _with_code(found, code)
    assert finding.status == status
    assert message in finding.message
    assert finding.repair is not None
    assert repair in finding.repair
    assert finding.file == str(tmp_path / file)
    if cases is not None:
        assert finding.cases == cases
    if status == "WARN":
        assert not [other for other in found if other.status == "FAIL"]


def test_two_cases_of_an_id_within_one_split_are_no_leak(tmp_path: Path) -> None:
    annotation = [ANNOTATION[0], ("A", "P1", "2"), *ANNOTATION[2:]]
    read = tables(tmp_path, annotation, [SPLIT[0], ("A", "train", "0"), *SPLIT[2:]])
    assert [finding.status for finding in check_splits(read, {"a", "A", "c", "d"}, CLASSES)] == ["PASS"]


def test_the_message_counts_and_never_names_a_case(tmp_path: Path) -> None:
    annotation = [(f"secret-{uid}", f"secret-{patient}", label) for uid, patient, label in ANNOTATION]
    split = [("secret-a", "train", "0"), ("secret-b", "val", "0"), ("secret-x", "test", "0")]
    found = check_splits(tables(tmp_path, annotation, split), {"secret-z"}, CLASSES)
    assert {"MS-D110", "MS-D112", "MS-D113", "MS-D118"} <= {finding.code for finding in found}
    assert not [finding for finding in found if "secret" in finding.message + str(finding.repair)]


def _with_code(findings: list[Finding], code: str) -> Finding:
    (found,) = (finding for finding in findings if finding.code == code)
    return found
