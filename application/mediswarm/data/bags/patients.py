"""A site's patients: the clinical table, the slide table and the feature files, held against each other.

Clinical table: one row for each patient, `PATIENT` and the columns that a task reads.
Slide table: `PATIENT, FILENAME`, the path below the feature folder. A patient's bag is
all of its slides, in whatever order they are listed. Without a slide table each patient
has one file, `<PATIENT>.h5`. What does not fit is counted and named.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
from typing_extensions import Self

from mediswarm.data.damaged_ids import changed_against, changed_within
from mediswarm.data.findings import Finding, Status
from mediswarm.data.tables import read_table
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import DataError

_SUFFIX = ".h5"


@dataclass(frozen=True)
class Patient:
    """One patient: the row of the clinical table as text, its line, and the feature files, sorted."""

    row: dict[str, str]
    line: int
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Patients:
    """The patients with a row and features, by id in sorted order, and what was found on the way.

    Use them only when no finding is a FAIL (:func:`mediswarm.data.findings.raise_on_failure`).
    `missing` are files that the slide table names and the feature folder has not.
    """

    patients: dict[str, Patient]
    findings: list[Finding]
    table: Path
    missing: frozenset[Path] = frozenset()

    @classmethod
    def read(
        cls,
        clinical: Path,
        slides: Path | None,
        features: Path,
        columns: Sequence[str],
        *,
        patient: str = "PATIENT",
        filename: str = "FILENAME",
        labelled: bool = True,
    ) -> Self:
        """Read and check the tables; no feature file is opened.

        Args:
            clinical: the clinical table.
            slides: the slide table; None for features of patients, `<PATIENT>.h5`.
            features: the folder that file names are relative to.
            columns: columns of the clinical table that the task reads.
            patient: name of the column of patients' ids, in both tables.
            filename: name of the slide table's column of files.
            labelled: False takes a column of `columns` that is not there for one of empty cells.

        Raises:
            DataError: MS-D101 to MS-D103 a table cannot be read, MS-B029 the feature folder.
        """
        table = read_table(clinical, (patient, *(columns if labelled else ())))
        for name in columns:
            if name not in table:
                table[name] = ""
        findings = list(_empty(table[patient], clinical))
        table = table[table[patient] != ""]
        ids = table[patient]
        findings += [*changed_within(ids, clinical), *_repeated(table, [patient, *columns], clinical)]
        present = feature_files(features)
        if slides is None:
            files: dict[str, tuple[Path, ...]] = {
                uid: (features / f"{uid}{_SUFFIX}",) for uid in ids if f"{uid}{_SUFFIX}" in present
            }
            named = {f"{uid}{_SUFFIX}" for uid in files}
            owners, listing = {name.removesuffix(_SUFFIX) for name in present}, features
        else:
            listed = read_table(slides, (patient, filename))
            findings += [*_empty(listed[patient], slides), *changed_within(listed[patient], slides)]
            findings += _check_files(listed[patient], listed[filename], present, slides, features)
            named = set(listed[filename])
            files = {
                uid: tuple(features / name for name in sorted(group))
                for uid, group in _by_patient(listed[patient], listed[filename]).items()
            }
            owners, listing = set(files), slides
            findings += _unused("MS-B026", sorted(files.keys() - set(ids) - {""}), slides)
        findings += changed_against(set(ids), owners, listing.name, clinical, patient)
        findings += _unused("MS-B025", sorted(set(ids) - files.keys()), clinical)
        findings += _unused("MS-B027", sorted(present - named), features)
        patients: dict[str, Patient] = {}
        for line, *cells in table[~ids.duplicated()].sort_values(patient).itertuples(name=None):
            row = dict(zip(table.columns, cells, strict=True))
            if row[patient] in files:
                patients[row[patient]] = Patient(row, line, files[row[patient]])
        if not patients:
            findings.append(_finding("FAIL", "MS-B028", ERROR_CODES["MS-B028"].title, str(clinical)))
        return cls(patients, findings, clinical, frozenset(features / name for name in named - present))


def feature_files(folder: Path) -> set[str]:
    """Paths of all .h5 files below `folder`, relative to it, with `/`; hidden ones are left out.

    Links to files and folders are followed; one that leads nowhere is no file.

    Raises:
        DataError: MS-B029 when there is no such folder, or one in it cannot be listed.
    """
    if not folder.is_dir():
        raise DataError("MS-B029", "there is no such folder", file=folder)
    return {path.relative_to(folder).as_posix() for path in _files_below(folder, frozenset())}


def _files_below(folder: Path, around: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """`around` are device and number of the folders that `folder` lies in: a link to one is not followed."""
    try:
        status = folder.stat()
        with os.scandir(folder) as listing:
            entries = [(Path(entry), entry.is_symlink() or entry.is_dir()) for entry in listing]
    except OSError as error:
        raise DataError("MS-B029", f"the folder cannot be listed ({error.strerror})", file=folder) from error
    here = (status.st_dev, status.st_ino)
    if here in around:
        return
    for path, special in entries:
        if path.name.startswith("."):
            continue
        kind = _kind(path) if special else stat.S_IFREG
        if kind == stat.S_IFDIR:
            yield from _files_below(path, around | {here})
        elif kind is not None and path.suffix == _SUFFIX:
            yield path


def _kind(path: Path) -> int | None:
    """Of what a link leads to; None where it leads nowhere."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return None


def _by_patient(ids: pd.Series[str], names: pd.Series[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for uid, name in zip(ids, names, strict=True):
        groups[uid].append(name)
    return groups


def _empty(column: pd.Series[str], file: Path) -> Iterator[Finding]:
    empty = column[column == ""]
    if len(empty):
        message = f"{column.name} is empty in {len(empty)} row(s)"
        yield _finding("FAIL", "MS-D105", message, f"{file}:{empty.index[0]}")


def _repeated(table: pd.DataFrame, used: list[str], file: Path) -> Iterator[Finding]:
    """Several rows of a patient: FAIL where they differ in a column that is used."""
    ids = table[used[0]]
    again = table[ids.duplicated(keep=False)]
    if again.empty:
        return
    distinct = again.drop_duplicates(used)[used[0]]
    contradicting = sorted(set(distinct[distinct.duplicated()]))
    if contradicting:
        line = distinct.index[distinct == contradicting[0]][1]
        message = f"patients with several rows that contradict one another: {len(contradicting)}"
        yield _finding("FAIL", "MS-B020", message, f"{file}:{line}", contradicting)
    same = sorted(set(again[used[0]]) - set(contradicting))
    if same:
        yield _finding("WARN", "MS-B021", f"patients with several equal rows: {len(same)}", str(file), same)


def _check_files(
    ids: pd.Series[str], names: pd.Series[str], present: set[str], file: Path, folder: Path
) -> Iterator[Finding]:
    yield from _empty(names, file)
    bad = names[(names != "") & (names.map(_fault) != "")]
    if len(bad):
        # what is wrong, and not the name itself, which may tell who the patient is
        why = ", ".join(sorted({_fault(name) for name in bad}))
        message = f"{names.name} is no relative path that ends in {_SUFFIX}, in {len(bad)} row(s): {why}"
        yield _finding("FAIL", "MS-B022", message, f"{file}:{bad.index[0]}", bad)
    again = names[names.duplicated() & (names != "")]
    if len(again):
        owners = {uid for uid, name in zip(ids, names, strict=True) if name in set(again)}
        message = (
            f"feature files that stand in more than one row: {again.nunique()}, of {len(owners)} patients"
        )
        yield _finding("FAIL", "MS-B024", message, f"{file}:{again.index[0]}", again)
    missing = names[(names.map(_fault) == "") & ~names.isin(present)]
    if len(missing):
        message = f"{len(missing)} of {len(names)} feature files are missing in {folder.name}/"
        yield _finding("FAIL", "MS-B023", message, f"{file}:{missing.index[0]}", missing)


def _fault(name: str) -> str:
    """What keeps a name from being one of a file below the feature folder; empty for nothing."""
    path = PurePosixPath(name)
    if "\\" in name:
        return "a backslash"
    if path.is_absolute():
        return "an absolute path"
    if ".." in path.parts:
        return "a path with .."
    if path.suffix != _SUFFIX:
        return "another ending"
    return "" if str(path) == name else "a path with ./ or //"


def _unused(code: str, cases: Sequence[str], place: Path) -> Iterator[Finding]:
    if cases:
        yield _finding("WARN", code, f"{ERROR_CODES[code].title}: {len(cases)}", str(place), cases)


def _finding(
    status: Status, code: str, message: str, place: str, cases: Sequence[str] | pd.Series[str] = ()
) -> Finding:
    return Finding(status, "tables", message, code, ERROR_CODES[code].resolve, place, tuple(cases))
