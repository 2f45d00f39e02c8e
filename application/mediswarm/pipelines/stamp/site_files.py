"""Where the STAMP layout keeps what at a site.

::

    <site>/clini.csv         PATIENT, and the columns that the task reads
    <site>/slide.csv         PATIENT, FILENAME below the feature folder (not at level patient)
    <site>/features/…/*.h5   features of a slide, or of a patient
    <site>/split.csv         PATIENT, Split (train, val, test), Fold, where the job names such a table

Tables may be .xlsx instead; a job can give all of them other names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

from mediswarm.errors import DataError
from mediswarm.pipelines.stamp.config import StampConfig

_ENDINGS = (".csv", ".xlsx")


@dataclass(frozen=True)
class SiteFiles:
    """Paths of a site's tables and of its feature folder; whether they exist is for their readers to say."""

    clinical: Path
    slides: Path | None
    splits: Path | None
    features: Path

    @classmethod
    def of(cls, folder: Path, config: StampConfig) -> Self:
        """The files of the site with that folder.

        Raises:
            DataError: MS-B070 when a table is there twice.
        """
        names, split = config.files, config.splits.table
        return cls(
            clinical=_table(folder, names.clini),
            slides=None if config.features.level == "patient" else _table(folder, names.slide),
            splits=None if split is None else _table(folder, split),
            features=folder / names.features,
        )


def _table(folder: Path, name: str) -> Path:
    there = [path for ending in _ENDINGS if (path := folder / f"{name}{ending}").exists()]
    if len(there) > 1:
        raise DataError("MS-B070", f"there is {there[0].name} and {there[1].name}", file=there[0])
    return there[0] if there else folder / f"{name}{_ENDINGS[0]}"
