"""Where the prepared files of a site lie, and how they are written.

::

    <output>/data_unilateral/<case>_<side>/Sub_1.nii.gz   one breast
    <output>/metadata_unilateral/annotation.csv, split.csv
    <output>/data/<case>/Sub_1.nii.gz                     both breasts, where asked for
    <output>/metadata/annotation.csv, split.csv
    <output>/manifests/<case>.json                        how it was made; written last
    <output>/qc/<case>_<side>.png                         its picture, and index.html with all
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mediswarm.errors import NO_ROOM, HostError, UsageError

IMAGES, METADATA, MANIFESTS, QC = "data_unilateral", "metadata_unilateral", "manifests", "qc"
IMAGES_OF_BOTH, METADATA_OF_BOTH = "data", "metadata"
CHANNEL = "Sub_1"
_PARTIAL = ".partial"
_NO_ROOM = NO_ROOM | {errno.EFBIG}


def breast_id(case: str, side: str) -> str:
    """The UID of one breast."""
    return f"{case}_{side}"


def image_file(root: Path, uid: str) -> Path:
    """The volume of one breast."""
    return root / IMAGES / uid / f"{CHANNEL}.nii.gz"


def image_file_of_both(root: Path, case: str) -> Path:
    """The volume of both breasts of one case."""
    return root / IMAGES_OF_BOTH / case / f"{CHANNEL}.nii.gz"


def picture_file(root: Path, uid: str) -> Path:
    """The picture of one breast."""
    return root / QC / f"{uid}.png"


def manifest_file(root: Path, case: str) -> Path:
    """The manifest of one case."""
    return root / MANIFESTS / f"{case}.json"


def write_whole_file(file: Path, content: bytes) -> None:
    """Replace a file in one step; what a kill leaves behind is swept up by :func:`opened_output`.

    Raises:
        HostError: MS-H004 there is no room for it.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}{_PARTIAL}")
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise HostError(
            "MS-H004",
            f"a file of the output cannot be written ({error.strerror})",
            repair="Free space there, or lift the limit of this account, and run the same command again; "
            "finished cases are kept.",
            file=file,
        ) from error


@contextmanager
def opened_output(root: Path) -> Iterator[None]:
    """The output folder, made if need be, for this process alone, without leavings of one that was killed.

    Raises:
        UsageError: MS-X009 it cannot be written, or another process prepares into it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise UsageError("MS-X009", f"it cannot be made ({error.strerror})", file=root) from error
    try:
        # on the folder itself, so that no lock file is left in the output
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for folder in (IMAGES, METADATA, MANIFESTS, QC, IMAGES_OF_BOTH, METADATA_OF_BOTH):
            for partial in (root / folder).rglob(f".*{_PARTIAL}"):
                partial.unlink()
        yield
    except BlockingIOError as error:
        raise UsageError(
            "MS-X009",
            "another `mediswarm odelia prepare` is writing into it",
            repair="Wait until that one has ended.",
            file=root,
        ) from error
    except PermissionError as error:
        raise UsageError("MS-X009", "this account cannot write there", file=root) from error
    finally:
        os.close(handle)
