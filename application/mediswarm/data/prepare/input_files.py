"""The files of an examination's folder: all of them, or an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mediswarm.data.prepare.case_error import CaseError


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, in the order of their paths; links are followed.

    Raises:
        CaseError: MS-X008 there is no such folder, MS-X010 something below it cannot be read, is neither
            file nor folder, or leads round in a circle.
    """
    try:
        if not folder.is_dir():
            raise CaseError("MS-X008", "it has no folder in the input", detail=folder)
        real = folder.resolve()
        return sorted(_files(folder, frozenset({real, *real.parents})))
    except OSError as error:
        raise unreadable(error, folder) from error


def unreadable(error: OSError, place: Path) -> CaseError:
    """The error of a case of whose input something cannot be read; at `place`, if the error names none."""
    return CaseError(
        "MS-X010",
        f"a file or folder cannot be read ({error.strerror})",
        repair="Give this account the right to read it, or export it again; --show-cases names it.",
        detail=error.filename or place,
    )


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                real = path.resolve()
                if real in above:
                    raise CaseError("MS-X010", "a link leads to a folder that it lies in", detail=path)
                yield from _files(path, above | {real})
            elif entry.is_file():
                yield path
            else:
                message = "something is neither a file nor a folder, such as a link to nothing"
                raise CaseError("MS-X010", message, detail=path)
