"""The label table that a site gives: which examination is which case, and what each breast holds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mediswarm.data.damaged_ids import changed_within
from mediswarm.data.findings import raise_on_failure
from mediswarm.data.tables import read_table
from mediswarm.errors import DataError

SIDES = ("left", "right")
EXCLUDED = "excluded"
"""What stands under Lesion for a breast that is to be left out, such as after a mastectomy."""

_COLUMNS = ("Case", "PatientID", "Age", "Side", "Lesion")
_PSEUDONYMS = ("Case", "PatientID")
_LABELS = {"0": "none", "1": "benign", "2": "malignant"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OLDEST = 120


@dataclass(frozen=True)
class LabelledExamination:
    """One examination; `lesions` holds the label of each breast that is used, by side."""

    case: str
    folder: str
    patient: str
    age: str
    lesions: dict[str, str]


def read_labels(file: Path) -> list[LabelledExamination]:
    """Read a table with one row for each breast, in the order of the cases' names.

    Columns: `Case` (pseudonym of the examination, the output is named by it), `PatientID`
    (pseudonym of the patient), `Age` (years, may be empty), `Side` (left, right), `Lesion`
    (0 none, 1 benign, 2 malignant, or excluded), and `Folder` if the examinations' folders
    are not named like the cases.

    Raises:
        DataError: MS-D101 to MS-D103 as a table, MS-D104 ids that a spreadsheet program changed, which
            `mediswarm check` would refuse in what is made of them, MS-X005 a row breaks a rule, MS-X006 a
            breast is not in the table.
    """
    table = read_table(file, _COLUMNS)
    rows: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    first_line: dict[str, int] = {}
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        cells = {str(name): str(value) for name, value in row.items()}
        cells["Folder"] = cells.get("Folder") or cells["Case"]
        problem = next(_problems(cells, rows[cells["Case"]]), None)
        if problem:
            raise DataError("MS-X005", problem, file=file, line=int(line))
        rows[cells["Case"]][cells["Side"]] = cells
        first_line.setdefault(cells["Case"], int(line))
    for column in _PSEUDONYMS:
        for finding in changed_within(table[column], file):
            raise_on_failure([finding])
    _require_different(rows, first_line, file)
    found = []
    for case, sides in sorted(rows.items()):
        missing = [side for side in SIDES if side not in sides]
        if missing:
            message = f"case {case} has no row for its {missing[0]} breast"
            raise DataError("MS-X006", message, file=file, line=first_line[case])
        one = sides[SIDES[0]]
        lesions = {side: sides[side]["Lesion"] for side in SIDES if sides[side]["Lesion"] != EXCLUDED}
        found.append(LabelledExamination(case, one["Folder"], one["PatientID"], one["Age"], lesions))
    return found


def _problems(cells: dict[str, str], others: dict[str, dict[str, str]]) -> Iterator[str]:
    """What is wrong with a row, given the other rows of its case."""
    for column in _PSEUDONYMS:
        if not _NAME.fullmatch(cells[column]):
            yield (
                f"{column} is {cells[column]!r}; it takes letters, digits, points, underscores and hyphens, "
                "at most 64, and begins with a letter or digit"
            )
    if cells["Folder"].startswith(".") or Path(cells["Folder"]).name != cells["Folder"]:
        yield f"Folder is {cells['Folder']!r}; it takes the name of a folder of the input"
    if cells["Side"] not in SIDES:
        yield f"Side is {cells['Side']!r}; it takes left or right"
    if cells["Lesion"] not in (*_LABELS, EXCLUDED):
        meaning = ", ".join(f"{label} ({name})" for label, name in _LABELS.items())
        yield f"Lesion is {cells['Lesion']!r}; it takes {meaning} or {EXCLUDED}"
    age = cells["Age"]
    if age and not (age.isdecimal() and age.isascii() and int(age) <= _OLDEST):
        yield f"Age is {age!r}; it takes whole years, or nothing"
    if cells["Side"] in others:
        yield f"case {cells['Case']} has its {cells['Side']} breast in two rows"
    for column in ("PatientID", "Age", "Folder"):
        if any(other[column] != cells[column] for other in others.values()):
            yield f"case {cells['Case']} has different values of {column} in its two rows"


def _require_different(
    rows: dict[str, dict[str, dict[str, str]]], first_line: dict[str, int], file: Path
) -> None:
    """Different cases have different folders; cases and patients differ in more than letter case."""
    spellings: dict[str, str] = {}
    names: dict[str, str] = {}
    folders: dict[str, str] = {}
    for case, sides in rows.items():
        one = next(iter(sides.values()))
        folder, patient = one["Folder"], one["PatientID"]
        # written by two hands, one patient would be in the training and in the test data
        spelling = spellings.setdefault(patient.casefold(), patient)
        if spelling != patient:
            message = f"PatientIDs {spelling} and {patient} differ in letter case only"
            raise DataError("MS-X005", message, file=file, line=first_line[case])
        # a file system may hold C1 and c1 to be one name
        for seen, key, what in (
            (names, case.casefold(), "name but for letter case"),
            (folders, folder, "Folder"),
        ):
            other = seen.setdefault(key, case)
            if other != case:
                message = f"cases {other} and {case} have the same {what}"
                raise DataError("MS-X005", message, file=file, line=first_line[case])
