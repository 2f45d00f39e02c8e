"""Five folds: no patient twice, each class its share, and the same again tomorrow."""

from __future__ import annotations

import csv
import random
from collections import Counter, defaultdict

import pytest

from mediswarm.data.prepare.folds import annotation_table, split_table
from mediswarm.data.prepare.labels import LabelledExamination
from mediswarm.errors import DataError


def examinations(count: int = 60) -> list[LabelledExamination]:
    choose = random.Random(3)
    return [
        LabelledExamination(
            f"C{number:02d}",
            "",
            f"P{number // 2 if number < 20 else number}",
            "",
            {side: choose.choices("012", (6, 3, 3))[0] for side in ("left", "right")},
        )
        for number in range(count)
    ]


EXAMINATIONS = examinations()
ALL = {f"{one.case}_{side}" for one in EXAMINATIONS for side in one.lesions}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_folds_keep_patients_together_and_classes_apart() -> None:
    patient = {row["UID"]: row["PatientID"] for row in rows(annotation_table(EXAMINATIONS, ALL))}
    lesion = {row["UID"]: row["Lesion"] for row in rows(annotation_table(EXAMINATIONS, ALL))}
    table = rows(split_table(EXAMINATIONS, ALL))
    tested = [row["UID"] for row in table if row["Split"] == "test"]
    assert sorted(tested) == sorted(ALL)
    for fold in "01234":
        splits: dict[str, set[str]] = defaultdict(set)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for row in table:
            if row["Fold"] == fold:
                splits[patient[row["UID"]]].add(row["Split"])
                counts[row["Split"]][lesion[row["UID"]]] += 1
        assert all(len(names) == 1 for names in splits.values())
        total = Counter(lesion.values())
        for split, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
            for label in "012":
                assert counts[split][label] == pytest.approx(share * total[label], abs=4)


def test_a_case_that_failed_changes_no_other_one() -> None:
    few = {uid for uid in ALL if not uid.startswith("C07")}
    every = rows(split_table(EXAMINATIONS, ALL))
    assert rows(split_table(EXAMINATIONS, few)) == [row for row in every if row["UID"] in few]
    assert rows(split_table(EXAMINATIONS[::-1], ALL)) == every


@pytest.mark.parametrize("count", [1, 8])
def test_too_few_patients(count: int) -> None:
    # eight examinations of four patients
    with pytest.raises(DataError) as caught:
        split_table(examinations(count), ALL)
    assert caught.value.code == "MS-X022"
