"""Five folds in which no patient stands twice and every fold has its share of each class."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from mediswarm.data.prepare.labels import SIDES, LabelledExamination
from mediswarm.data.prepare.output import breast_id
from mediswarm.errors import DataError

FOLDS = 5
_SEED = 0


def annotation_table(examinations: Sequence[LabelledExamination], prepared: AbstractSet[str]) -> str:
    """`annotation.csv`: UID, PatientID, Age, Lesion of each breast that was prepared."""
    rows = [
        (breast_id(one.case, side), one.patient, one.age, lesion)
        for one in examinations
        for side, lesion in one.lesions.items()
    ]
    return _csv(("UID", "PatientID", "Age", "Lesion"), [row for row in rows if row[0] in prepared])


def split_table(examinations: Sequence[LabelledExamination], prepared: AbstractSet[str]) -> str:
    """`split.csv`: in fold k, part k of five is for testing, the next for validation, the rest for training.

    The parts are made of all labelled cases, prepared or not (StratifiedGroupKFold of
    scikit-learn), so that a case that is mended later changes nothing for the others.

    Raises:
        DataError: MS-X022 there are fewer patients than parts, or no breast.
    """
    part = _parts(examinations)
    return _splits({uid: number for uid, number in part.items() if uid in prepared})


def annotation_table_of_both(examinations: Sequence[LabelledExamination], prepared: AbstractSet[str]) -> str:
    """`annotation.csv` of the cases whose breasts were prepared as one volume, a label for each side."""
    rows = [
        (one.case, one.patient, one.age, *(one.lesions[side] for side in SIDES))
        for one in examinations
        if one.case in prepared
    ]
    return _csv(("UID", "PatientID", "Age", "Lesion_Left", "Lesion_Right"), rows)


def split_table_of_both(examinations: Sequence[LabelledExamination], prepared: AbstractSet[str]) -> str:
    """`split.csv` of the cases whose breasts were prepared as one volume; each where its breasts are.

    Raises:
        DataError: MS-X022 as :func:`split_table`.
    """
    part = _parts(examinations)
    cases = [one.case for one in examinations if one.case in prepared]
    return _splits({case: part[breast_id(case, SIDES[0])] for case in cases})


def _parts(examinations: Sequence[LabelledExamination]) -> dict[str, int]:
    """The part of five that each labelled breast is in, by UID, in the order of the UIDs."""
    from sklearn.model_selection import StratifiedGroupKFold

    breasts = [
        (breast_id(one.case, side), one.patient, lesion)
        for one in examinations
        for side, lesion in one.lesions.items()
    ]
    if not breasts:
        raise DataError(
            "MS-X022",
            "the label table excludes every breast",
            repair="Give the breasts that are to be used their label under Lesion.",
        )
    uids, patients, lesions = (np.array(column) for column in zip(*sorted(breasts), strict=True))
    found = len(set(patients.tolist()))
    if found < FOLDS:
        raise DataError(
            "MS-X022", f"the label table names {found} patient(s), and {FOLDS} folds need {FOLDS}"
        )
    if len(uids) // FOLDS < 1 or max(np.unique(lesions, return_counts=True)[1]) < FOLDS:
        raise DataError(
            "MS-X022",
            f"no class has {FOLDS} breasts",
            repair=f"Label more examinations: one class needs {FOLDS} breasts. Or write split.csv by hand.",
        )
    part = np.zeros(len(uids), dtype=int)
    with warnings.catch_warnings():
        # a class with fewer cases than folds is legal, and is told by `mediswarm check`
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        divide = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_SEED)
        for number, (_, chosen) in enumerate(divide.split(uids, lesions, patients)):
            part[chosen] = number
    if len(set(part.tolist())) < FOLDS:
        raise DataError("MS-X022", "a patient has so many examinations that a fold stays empty")
    return dict(zip(uids.tolist(), part.tolist(), strict=True))


def _splits(part: dict[str, int]) -> str:
    words = {0: "test", 1: "val"}
    rows = [
        (uid, words.get((number - fold) % FOLDS, "train"), fold)
        for fold in range(FOLDS)
        for uid, number in part.items()
    ]
    return _csv(("UID", "Split", "Fold"), rows)


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
