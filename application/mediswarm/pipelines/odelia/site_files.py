"""Where the ODELIA layout keeps what at a site.

::

    <site>/data_unilateral/<UID>/<channel>.nii.gz        one breast
    <site>/metadata_unilateral/annotation.csv            UID, PatientID, Age, Lesion
    <site>/metadata_unilateral/split.csv                 UID, Split (train, val, test), Fold

    <site>/data/<UID>/<channel>.nii.gz                   both breasts (laterality `original`)
    <site>/metadata/annotation.csv                       UID, PatientID, Age, Lesion_Left, Lesion_Right
    <site>/metadata/split.csv                            UID, Split, Fold
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mediswarm.errors import DataError


@dataclass(frozen=True)
class Layout:
    """The folders and columns of one laterality.

    `sides` are what the label columns are for, from left to right; empty where an image is one breast.
    """

    images: str
    metadata: str
    labels: tuple[str, ...]
    sides: tuple[str, ...] = ()


LAYOUTS = {
    "unilateral": Layout("data_unilateral", "metadata_unilateral", ("Lesion",)),
    "original": Layout("data", "metadata", ("Lesion_Left", "Lesion_Right"), ("left", "right")),
}
"""By `laterality`. The names are those of the published ODELIA data."""


def image_files(folder: Path, uid: str, channels: Sequence[str]) -> list[Path]:
    """The files of one case in the folder of images, in the order of the channels."""
    return [folder / uid / f"{channel}.nii.gz" for channel in channels]


def imaged_cases(folder: Path, channels: Sequence[str]) -> dict[str, list[Path]]:
    """The files of each case that has one for every channel, by id, in sorted order.

    Raises:
        DataError: MS-D002 when the image folder is missing or a file, MS-D120 when it cannot be listed.
    """
    try:
        uids = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            "MS-D002",
            f"{folder.name} is a file, not a folder"
            if folder.is_file()
            else f"the site has no folder {folder.name}",
            repair=f"Put the images at <data>/<SITE>/{folder.name}/<UID>/.",
            file=folder,
        ) from error
    except OSError as error:
        raise DataError("MS-D120", f"the folder cannot be listed ({error.strerror})", file=folder) from error
    files = {uid: image_files(folder, uid, channels) for uid in uids}
    # a link that leads nowhere counts as present here, so that reading it reports what is wrong with it
    return {uid: paths for uid, paths in files.items() if all(_is_there(path) for path in paths)}


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        # of the second kind are files beside the cases' folders, such as Thumbs.db
        return False
    except OSError:
        return True
    return True
