"""Splits of patients: stratified, the same for the same seed, kept, and checked where they are given."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mediswarm.data.bags.patient_splits import (
    PatientSplit,
    draw_folds,
    draw_split,
    keep_splits,
    read_kept_split,
    read_split,
)
from mediswarm.errors import DataError

STRATA = {f"p{number:03d}": "rare" if number % 10 == 0 else "usual" for number in range(120)}
FRACTIONS = (0.7, 0.15, 0.15)


def strata_of(ids: tuple[str, ...]) -> dict[str, int]:
    return dict(Counter(STRATA[uid] for uid in ids))


def test_each_patient_is_in_one_split_and_each_stratum_in_all() -> None:
    split = draw_split(STRATA, 0, FRACTIONS)
    assert sorted(split.train + split.val + split.test) == sorted(STRATA)
    assert strata_of(split.test) == {"rare": 2, "usual": 16}
    assert strata_of(split.val) == {"rare": 2, "usual": 16}
    assert strata_of(split.train) == {"rare": 8, "usual": 76}


def test_a_split_follows_from_seed_and_ids_only() -> None:
    split = draw_split(STRATA, 5, FRACTIONS)
    assert draw_split(dict(reversed(STRATA.items())), 5, FRACTIONS) == split
    assert draw_split(STRATA, 6, FRACTIONS) != split


def test_no_test_patients_where_none_are_wanted() -> None:
    split = draw_split(STRATA, 0, (0.8, 0.2, 0.0))
    assert split.test == ()
    assert len(split.val) == 24


def test_folds_test_every_patient_once() -> None:
    folds = draw_folds(STRATA, 1, 5)
    assert sorted(uid for fold in folds for uid in fold.test) == sorted(STRATA)
    assert sorted(uid for fold in folds for uid in fold.val) == sorted(STRATA)
    for fold in folds:
        assert sorted(fold.train + fold.val + fold.test) == sorted(STRATA)
        assert 2 <= strata_of(fold.test)["rare"] <= 3


@pytest.mark.parametrize("count", [1, 2, 4])
def test_too_few_patients(count: int) -> None:
    few = {str(number): "a" for number in range(count)}
    with pytest.raises(DataError) as caught:
        draw_folds(few, 0, 5)
    assert caught.value.code == "MS-B040"
    with pytest.raises(DataError) as caught:
        draw_split(few, 0, (0.9, 0.05, 0.05))
    assert caught.value.code == "MS-B040"


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    strata = STRATA | {'007, "odd"': "usual"}
    folds = draw_folds(strata, 1, 3)
    file = tmp_path / "scratch" / "split.csv"
    keep_splits(file, folds)
    for number, fold in enumerate(folds):
        assert read_split(file, list(strata), number) == (fold, [])
    assert [path.name for path in file.parent.iterdir()] == ["split.csv"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("a,train,0\nb,val,0\nc,test,0\nc,train,1\n", []),
        ("a,train,0\nb,val,0\nb,test,0\nc,train,0\n", [("FAIL", "MS-D110", ("b",))]),
        ("a,train,0\na,train,0\nb,val,0\nc,test,0\n", [("FAIL", "MS-D111", ("a",))]),
        ("a,train,0\nb,val,0\nc,test,0\nd,test,0\n", [("FAIL", "MS-D112", ("d",))]),
        ("a,train,0\nb,val,0\nc,Test,0\n", [("FAIL", "MS-D115", ("c",))]),
        ("a,train,0\nb,val,0\n", [("WARN", "MS-D118", ("c",))]),
        ("a,train,0\nb,train,0\nc,test,0\n", [("FAIL", "MS-D003", ())]),
    ],
)
def test_a_given_table_is_checked(
    rows: str, expected: list[tuple[str, str, tuple[str, ...]]], tmp_path: Path
) -> None:
    file = tmp_path / "split.csv"
    file.write_text("PATIENT,Split,Fold\n" + rows)
    split, findings = read_split(file, ["a", "b", "c"], 0)
    assert [(finding.status, finding.code, finding.cases) for finding in findings] == expected
    if not expected:
        assert split == PatientSplit(("a",), ("b",), ("c",))


def test_a_table_without_the_fold_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    file.write_text("PATIENT,Split,Fold\na,train,0\n")
    with pytest.raises(DataError) as caught:
        read_split(file, ["a"], 3)
    assert caught.value.code == "MS-D114"


def test_who_is_gone_is_left_out_of_a_kept_draw(tmp_path: Path) -> None:
    file = tmp_path / "kept.csv"
    keep_splits(file, [PatientSplit(("a", "b", "c"), ("d",), ("e", "f"))])
    split, findings = read_kept_split(file, ["a", "c", "d", "f", "new"], 0)
    assert split == PatientSplit(("a", "c"), ("d",), ("f",))
    assert [(finding.status, finding.code, finding.cases) for finding in findings] == [
        ("WARN", "MS-B072", ("b", "e")),
        ("WARN", "MS-D118", ("new",)),
    ]
    _, findings = read_kept_split(file, ["a", "b", "c"], 0)
    assert [(finding.status, finding.code) for finding in findings] == [
        ("WARN", "MS-B072"),
        ("FAIL", "MS-D003"),
    ]


@pytest.mark.parametrize("text", ["", "PATIENT,Split\na,train\n", "PATIENT,Split,Fold\na,train,1\n"])
def test_a_damaged_kept_draw_is_to_be_deleted(text: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_kept_split(file, ["a", "b"], 0)
    assert caught.value.repair.startswith("Delete this file to draw anew")
    file.write_text("PATIENT,Split,Fold\na,train,0\nb,va,0\n")
    _, findings = read_kept_split(file, ["a", "b"], 0)
    repairs = {finding.repair for finding in findings if finding.status == "FAIL"}
    assert repairs == {caught.value.repair}
