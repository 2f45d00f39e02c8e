"""Where the ODELIA layout keeps what at a site.

::

    <site>/data_unilateral/<UID>/<channel>.nii.gz        one breast
    <site>/metadata_unilateral/annotation.csv            UID, PatientID, Age, Lesion
    <site>/metadata_unilateral/split.csv                 UID, Split (train, val, test), Fold
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mediswarm.errors import DataError


def metadata_folder(site: Path) -> Path:
    """The folder of the two tables."""
    return site / "metadata_unilateral"


def image_files(site: Path, uid: str, channels: Sequence[str]) -> list[Path]:
    """The files of one case, in the order of the channels."""
    return [site / "data_unilateral" / uid / f"{channel}.nii.gz" for channel in channels]


def imaged_cases(site: Path, channels: Sequence[str]) -> dict[str, list[Path]]:
    """The files of each case that has one for every channel, by id, in sorted order.

    Raises:
        DataError: MS-D002 when the image folder is missing or a file, MS-D120 when it cannot be listed.
    """
    folder = site / "data_unilateral"
    try:
        uids = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            "MS-D002",
            "data_unilateral is a file, not a folder"
            if folder.is_file()
            else "the site has no folder data_unilateral",
            repair="Put the images at <data>/<SITE>/data_unilateral/<UID>/.",
            file=folder,
        ) from error
    except OSError as error:
        raise DataError("MS-D120", f"the folder cannot be listed ({error.strerror})", file=folder) from error
    files = {uid: image_files(site, uid, channels) for uid in uids}
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
