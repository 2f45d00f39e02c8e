"""Splits of a site's patients: drawn once and kept, or given in a table. A patient is in one of them."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mediswarm.data.findings import Finding, Status
from mediswarm.data.splits import SPLITS
from mediswarm.data.tables import read_table
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import DataError

COLUMNS = ("PATIENT", "Split", "Fold")


@dataclass(frozen=True)
class PatientSplit:
    """Ids of patients in each split, sorted."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def draw_split(strata: Mapping[str, str], seed: int, fractions: tuple[float, float, float]) -> PatientSplit:
    """A split with the same share of each stratum, as far as it goes.

    Patients are put in an order by stratum and, within it, by a hash of seed and id; then
    every so many are taken. The order of `strata` does not matter.

    Args:
        strata: the stratum of each patient, by id (a class, or event or not).
        seed: another one draws another split.
        fractions: shares of train, val and test, which sum to 1.

    Raises:
        DataError: MS-B040 when a split with a share would have no patient.
    """
    order = _ordered(strata, seed)
    test = _every_so_many(order, fractions[2])
    rest = [uid for uid in order if uid not in test]
    split = _divided(order, _every_so_many(rest, fractions[1] / (1 - fractions[2])), test)
    for name, share in zip(SPLITS, fractions, strict=True):
        if share > 0 and not getattr(split, name):
            raise DataError(
                "MS-B040", f"{len(order)} patients are too few for a share of {share:g} in {name}"
            )
    return split


def draw_folds(strata: Mapping[str, str], seed: int, folds: int) -> list[PatientSplit]:
    """Cross-validation: of `folds` parts, drawn as above, each tests once while the next one validates.

    Raises:
        DataError: MS-B040 when a part would have no patient.
    """
    order = _ordered(strata, seed)
    if len(order) < folds:
        raise DataError("MS-B040", f"{len(order)} patients are too few for {folds} folds")
    parts = [set(order[part::folds]) for part in range(folds)]
    return [_divided(order, parts[(fold + 1) % folds], parts[fold]) for fold in range(folds)]


def keep_splits(file: Path, splits: Sequence[PatientSplit]) -> None:
    """Write a split table with one fold for each of `splits`; there is a whole file or none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(".unfinished", dir=file.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for fold, split in enumerate(splits):
            table.writerows((uid, name, fold) for name in SPLITS for uid in getattr(split, name))
    Path(unfinished).replace(file)


def read_split(file: Path, patients: Sequence[str], fold: int) -> tuple[PatientSplit, list[Finding]]:
    """One fold of a split table with the columns PATIENT, Split (train, val, test) and Fold.

    Args:
        file: the table.
        patients: ids of the patients with a row and features.
        fold: rows of this Fold are used.

    Returns:
        The split, to be used only when no finding is a FAIL, and what was found: MS-D110 a patient in
        several splits, MS-D111 twice in one, MS-D112 unknown patients, MS-D115 an unknown split,
        MS-D118 patients in no split (WARN), MS-D003 an empty split.

    Raises:
        DataError: MS-D101 to MS-D103 the table cannot be read, MS-D114 it has no such fold.
    """
    table = read_table(file, COLUMNS)
    rows = table[table["Fold"] == str(fold)]
    if rows.empty:
        have = ", ".join(sorted(set(table["Fold"])))
        raise DataError("MS-D114", f"no row has the Fold {fold}; the table has {have}", file=file)
    placed = list(zip(rows["PATIENT"], rows["Split"], strict=True))
    findings = list(_check(file, placed, set(patients)))
    train, val, test = (tuple(sorted({uid for uid, split in placed if split == name})) for name in SPLITS)
    return PatientSplit(train, val, test), findings


def read_kept_split(file: Path, patients: Sequence[str], fold: int) -> tuple[PatientSplit, list[Finding]]:
    """One fold of what :func:`keep_splits` wrote; patients who are no longer there are left out and counted.

    Returns:
        As :func:`read_split`, with a WARN MS-B072 for patients who are gone.

    Raises:
        DataError: as :func:`read_split`.
    """
    anew = "Delete this file to draw anew; the draw that was kept is then lost."
    try:
        split, findings = read_split(file, patients, fold)
    except DataError as error:
        raise DataError(error.code, error.message, repair=anew, file=file) from error
    known, found = set(patients), []
    for finding in findings:
        if finding.code == "MS-D112":
            gone = ERROR_CODES["MS-B072"]
            found.append(
                replace(
                    finding,
                    status="WARN",
                    message=f"{gone.title}: {len(finding.cases)}",
                    code="MS-B072",
                    repair=gone.resolve,
                )
            )
        else:
            found.append(replace(finding, repair=anew) if finding.status == "FAIL" else finding)
    train, val, test = (tuple(uid for uid in getattr(split, name) if uid in known) for name in SPLITS)
    for name, rest in (("train", train), ("val", val)):
        if getattr(split, name) and not rest:
            message = f"no patient of split {name} is there any longer"
            found.append(Finding("FAIL", "splits", message, "MS-D003", anew, str(file)))
    return PatientSplit(train, val, test), found


def _check(file: Path, placed: Sequence[tuple[str, str]], known: set[str]) -> Iterator[Finding]:
    splits: dict[str, list[str]] = {}
    for uid, split in placed:
        splits.setdefault(uid, []).append(split)
    several = [uid for uid, names in splits.items() if len(set(names)) > 1]
    twice = [uid for uid, names in splits.items() if len(set(names)) < len(names)]
    rules: tuple[tuple[Status, str, str, list[str]], ...] = (
        ("FAIL", "MS-D110", "patients in more than one split", several),
        ("FAIL", "MS-D111", "patients that stand twice in a split", twice),
        (
            "FAIL",
            "MS-D112",
            "patients without features or without a clinical row",
            sorted(splits.keys() - known),
        ),
        ("FAIL", "MS-D115", "patients in a split of another name", [u for u, s in placed if s not in SPLITS]),
        ("WARN", "MS-D118", "patients in no split, who are not used", sorted(known - splits.keys())),
    )
    for status, code, what, cases in rules:
        if cases:
            repair = ERROR_CODES[code].resolve
            yield Finding(status, "splits", f"{what}: {len(cases)}", code, repair, str(file), tuple(cases))
    for name in SPLITS[:2]:
        if not any(split == name for _, split in placed):
            repair = f"Give rows of the table the Split {name}."
            yield Finding("FAIL", "splits", f"split {name} has no patients", "MS-D003", repair, str(file))


def _ordered(strata: Mapping[str, str], seed: int) -> list[str]:
    return sorted(strata, key=lambda uid: (strata[uid], _hash(seed, uid)))


def _divided(patients: Sequence[str], val: set[str], test: set[str]) -> PatientSplit:
    train = set(patients) - val - test
    return PatientSplit(tuple(sorted(train)), tuple(sorted(val)), tuple(sorted(test)))


def _every_so_many(order: Sequence[str], share: float) -> set[str]:
    """`share` of `order`, evenly spread over it."""
    return {
        uid
        for index, uid in enumerate(order)
        if math.floor((index + 1) * share + 0.5) > math.floor(index * share + 0.5)
    }


def _hash(seed: int, uid: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{uid}".encode()).digest()
