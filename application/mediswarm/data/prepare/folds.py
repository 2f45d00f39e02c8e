"""Five folds in which no patient stands twice and every fold has its share of each class."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from mediswarm.data.prepare.labels import LabelledExamination
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
        DataError: MS-X022 there are fewer patients than parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    breasts = [
        (breast_id(one.case, side), one.patient, lesion)
        for one in examinations
        for side, lesion in one.lesions.items()
    ]
    uids, patients, lesions = (np.array(column) for column in zip(*sorted(breasts), strict=True))
    found = len(set(patients.tolist()))
    if found < FOLDS:
        raise DataError(
            "MS-X022", f"the label table names {found} patient(s), and {FOLDS} folds need {FOLDS}"
        )
    if len(uids) // FOLDS < 1 or max(np.unique(lesions, return_counts=True)[1]) < FOLDS:
        raise DataError("MS-X022", f"no class has {FOLDS} breasts")
    part = np.zeros(len(uids), dtype=int)
    with warnings.catch_warnings():
        # a class with fewer cases than folds is legal, and is told by `mediswarm check`
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        divide = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_SEED)
        for number, (_, chosen) in enumerate(divide.split(uids, lesions, patients)):
            part[chosen] = number
    if len(set(part.tolist())) < FOLDS:
        raise DataError("MS-X022", "a patient has so many examinations that a fold stays empty")
    words = {0: "test", 1: "val"}
    rows = [
        (uid, words.get((int(number) - fold) % FOLDS, "train"), fold)
        for fold in range(FOLDS)
        for uid, number in zip(uids.tolist(), part, strict=True)
        if uid in prepared
    ]
    return _csv(("UID", "Split", "Fold"), rows)


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
