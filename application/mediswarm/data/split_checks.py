"""The rules that the annotation, the split table and the images of a site keep together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import pandas as pd

from mediswarm.data.damaged_ids import changed_against, changed_within
from mediswarm.data.findings import Finding
from mediswarm.data.splits import SPLITS, SplitTables


def check_splits(tables: SplitTables, images: AbstractSet[str], classes: Sequence[str]) -> list[Finding]:
    """One finding for each rule that is broken; a PASS first when none of them is a FAIL.

    Args:
        tables: the site's tables.
        images: ids for which the site has image files.
        classes: the job's ordered class names.
    """
    found = [
        *_rows_of_fold(tables),
        *_empty_cells(tables),
        *_damaged_ids(tables, images),
        *_ids_twice(tables),
        *_split_words(tables),
        *_labels(tables, classes),
        *_without_annotation(tables),
        *_without_image(tables, images),
        *_patients_in_two_splits(tables),
        *_spelt_alike_in_two_splits(tables),
        *_unused(tables, images),
    ]
    if any(finding.status == "FAIL" for finding in found):
        return found
    used = tables.annotation["UID"].isin(tables.split["UID"])
    patients = tables.annotation.loc[used, "PatientID"].nunique()
    count = f"{len(tables.split)} cases of {patients} patients in fold {tables.fold}"
    return [Finding.passed("splits", f"{count}; no patient in two splits"), *found]


def _rows_of_fold(tables: SplitTables) -> Iterator[Finding]:
    if tables.split.empty:
        shown = ", ".join(repr(fold) for fold in tables.folds[:10])
        yield Finding(
            "FAIL",
            "splits",
            f"the split table has no row with Fold {tables.fold}; its folds are {shown}",
            "MS-D114",
            "Set the job's config.fold to one of them, or correct the column Fold.",
            str(tables.split_file),
        )


def _empty_cells(tables: SplitTables) -> Iterator[Finding]:
    for table, file, columns in (
        (tables.annotation, tables.annotation_file, ("UID", "PatientID", *tables.labels)),
        (tables.split, tables.split_file, ("UID", "Split")),
    ):
        for column in columns:
            empty = table.index[table[column] == ""]
            if len(empty):
                yield Finding(
                    "FAIL",
                    "tables",
                    f"{column} is empty in {_rows(len(empty))}",
                    "MS-D105",
                    f"Fill the cells in column {column}, or remove the rows.",
                    _place(file, empty),
                )


def _damaged_ids(tables: SplitTables, images: AbstractSet[str]) -> Iterator[Finding]:
    known = set(tables.annotation["UID"])
    for column in ("UID", "PatientID"):
        yield from changed_within(tables.annotation[column], tables.annotation_file)
    yield from changed_against(set(tables.split["UID"]), known, "the annotation", tables.split_file)
    yield from changed_against(known, images, "the image folders", tables.annotation_file)


def _ids_twice(tables: SplitTables) -> Iterator[Finding]:
    for table, file, within in (
        (tables.annotation, tables.annotation_file, "the annotation"),
        (tables.split, tables.split_file, f"fold {tables.fold} of the split table"),
    ):
        twice = table[table["UID"].duplicated() & (table["UID"] != "")]
        if len(twice):
            yield Finding(
                "FAIL",
                "splits",
                f"ids that stand more than once in {within}: {twice['UID'].nunique()}",
                "MS-D111",
                "Keep one row for each UID.",
                _place(file, twice.index),
                tuple(twice["UID"]),
            )


def _split_words(tables: SplitTables) -> Iterator[Finding]:
    wrong = tables.split[~tables.split["Split"].isin((*SPLITS, ""))]
    if len(wrong):
        words = ", ".join(repr(word) for word in sorted(set(wrong["Split"]))[:5])
        yield Finding(
            "FAIL",
            "splits",
            f"{_rows(len(wrong))} of the split table name a split {words}",
            "MS-D115",
            f"Write {', '.join(SPLITS)} in the column Split.",
            _place(tables.split_file, wrong.index),
            tuple(wrong["UID"]),
        )


def _labels(tables: SplitTables, classes: Sequence[str]) -> Iterator[Finding]:
    legal = [str(index) for index in range(len(classes))]
    meaning = ", ".join(f"{index} = {name}" for index, name in enumerate(classes))
    for column in tables.labels:
        wrong = tables.annotation[~tables.annotation[column].isin((*legal, ""))]
        if len(wrong):
            values = ", ".join(repr(value) for value in sorted(set(wrong[column]))[:5])
            yield Finding(
                "FAIL",
                "labels",
                f"{column} is {values} in {_rows(len(wrong))}; the job declares {meaning}",
                "MS-D116",
                f"Code all labels as {meaning}; do not recode only the values named.",
                _place(tables.annotation_file, wrong.index),
                tuple(wrong["UID"]),
            )


def _without_annotation(tables: SplitTables) -> Iterator[Finding]:
    lost = tables.split[~tables.split["UID"].isin(tables.annotation["UID"]) & (tables.split["UID"] != "")]
    if len(lost):
        yield Finding(
            "FAIL",
            "splits",
            f"ids of the split table that are not in the annotation: {len(lost)}",
            "MS-D112",
            "Annotate these cases, or remove their rows from the split table.",
            _place(tables.split_file, lost.index),
            tuple(lost["UID"]),
        )


def _without_image(tables: SplitTables, images: AbstractSet[str]) -> Iterator[Finding]:
    lost = tables.split[~tables.split["UID"].isin(images) & (tables.split["UID"] != "")]
    if len(lost):
        yield Finding(
            "FAIL",
            "images",
            f"ids of the split table that have no image: {len(lost)}",
            "MS-D113",
            "Add the images, or remove their rows from the split table.",
            _place(tables.split_file, lost.index),
            tuple(lost["UID"]),
        )


def _patients_in_two_splits(tables: SplitTables) -> Iterator[Finding]:
    patient_of = dict(zip(tables.annotation["UID"], tables.annotation["PatientID"], strict=True))
    seen: dict[str, set[str]] = defaultdict(set)
    for uid, split in zip(tables.split["UID"], tables.split["Split"], strict=True):
        if patient_of.get(uid):
            seen[patient_of[uid]].add(split)
    leaking = sorted(patient for patient, splits in seen.items() if len(splits) > 1)
    if leaking:
        yield Finding(
            "FAIL",
            "splits",
            f"patients in more than one split of fold {tables.fold}: {len(leaking)}",
            "MS-D110",
            "Put all images of a patient into one split.",
            str(tables.split_file),
            tuple(leaking),
        )


def _spelt_alike_in_two_splits(tables: SplitTables) -> Iterator[Finding]:
    """WARN for ids that differ in letter case only and stand in different splits: perhaps one patient."""
    patient_of = dict(zip(tables.annotation["UID"], tables.annotation["PatientID"], strict=True))
    placed = list(zip(tables.split["UID"], tables.split["Split"], strict=True))
    for column, ids in (
        ("UID", placed),
        ("PatientID", [(patient_of.get(uid, ""), split) for uid, split in placed]),
    ):
        splits_of: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for text, split in ids:
            splits_of[text.casefold()][text].add(split)
        groups = [
            sorted(spellings)
            for spellings in splits_of.values()
            if len(spellings) > 1 and len(set().union(*spellings.values())) > 1
        ]
        if groups:
            yield Finding(
                "WARN",
                "splits",
                f"values of {column} in different splits of fold {tables.fold} "
                f"that differ only in upper and lower case: {len(groups)}",
                "MS-D110",
                "If they mean one patient, spell them alike and put all its images into one split.",
                str(tables.split_file),
                tuple(text for group in groups for text in group),
            )


def _unused(tables: SplitTables, images: AbstractSet[str]) -> Iterator[Finding]:
    used = set(tables.split["UID"])
    for what, ids, file in (
        ("annotated cases", set(tables.annotation["UID"]) - used - {""}, tables.annotation_file),
        ("images", images - used, tables.split_file),
    ):
        if ids:
            yield Finding(
                "WARN",
                "splits",
                f"{what} that are in no split of fold {tables.fold} and not used: {len(ids)}",
                "MS-D118",
                "Add them to the split table if they should be used.",
                str(file),
                tuple(sorted(ids)),
            )


def _rows(count: int) -> str:
    return f"{count} row" + ("s" if count != 1 else "")


def _place(file: Path, lines: pd.Index[int]) -> str:
    return f"{file}:{lines[0]}"
