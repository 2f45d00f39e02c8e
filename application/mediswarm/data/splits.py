"""A site's cases: the annotation table, the split table and the images, held against each other.

Annotation: one row for each image, `UID, PatientID` and a label or several, which are indices
into the job's ordered classes. Split table: `UID, Split, Fold`; several folds may stand in it,
a job uses one. Nothing is joined in silence: what does not fit is counted and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from typing_extensions import Self

from mediswarm.data.tables import read_table

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelledCase:
    """One image of one patient; `labels` are indices into the job's ordered classes."""

    uid: str
    patient: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class SplitTables:
    """The two tables of a site, all text; of the split table only the rows of the job's fold.

    Both are indexed by the line in their file. `labels` are the annotation's columns that hold them.
    """

    annotation: pd.DataFrame
    split: pd.DataFrame
    annotation_file: Path
    split_file: Path
    fold: int
    folds: tuple[str, ...]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, fold: int, labels: Sequence[str]) -> Self:
        """Read `annotation.csv` and `split.csv` (or .xlsx in their place) of `folder`.

        Raises:
            DataError: MS-D101 to MS-D103, from :func:`mediswarm.data.tables.read_table`.
        """
        annotation_file, split_file = (_csv_or_xlsx(folder, name) for name in ("annotation", "split"))
        annotation = read_table(annotation_file, ("UID", "PatientID", *labels))
        split = read_table(split_file, ("UID", "Split", "Fold"))
        folds = tuple(sorted(set(split["Fold"])))
        chosen = split[split["Fold"] == str(fold)]
        return cls(annotation, chosen, annotation_file, split_file, fold, folds, tuple(labels))

    def cases(self) -> dict[str, list[LabelledCase]]:
        """Cases of each split, in the order of the split table. Only for tables that broke no rule."""
        rows = {
            uid: (patient, tuple(map(int, labels)))
            for uid, patient, *labels in self.annotation[["UID", "PatientID", *self.labels]].itertuples(
                index=False
            )
        }
        found: dict[str, list[LabelledCase]] = {name: [] for name in SPLITS}
        for uid, split in zip(self.split["UID"], self.split["Split"], strict=True):
            found[split].append(LabelledCase(uid, *rows[uid]))
        return found


def _csv_or_xlsx(folder: Path, name: str) -> Path:
    csv, xlsx = folder / f"{name}.csv", folder / f"{name}.xlsx"
    return xlsx if xlsx.is_file() and not csv.exists() else csv
