"""Fetching CIFAR-10 from its publisher, only when called."""

from __future__ import annotations

import shutil
from http.client import HTTPException
from pathlib import Path
from urllib.request import build_opener

from mediswarm.errors import DataError
from mediswarm.pipelines.cifar10.published import ARCHIVE, URL, check_published

_SECONDS_WITHOUT_A_BYTE = 60


def download(target: Path, url: str = URL) -> Path:
    """Put the published archive into the directory `target`, unless it is there already.

    Args:
        target: the data directory; made if it is missing.
        url: the publisher's address, or a mirror's; the checksum is the publisher's in any case.

    Returns:
        the archive's path.

    Raises:
        DataError: MS-D245 when it could not be fetched, MS-D242 when it is another file.
    """
    archive, partial = target / ARCHIVE, target / "partial" / ARCHIVE
    if not archive.is_file():
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            with (
                build_opener().open(url, timeout=_SECONDS_WITHOUT_A_BYTE) as source,
                partial.open("wb") as copy,
            ):
                shutil.copyfileobj(source, copy)
            check_published(partial)
            partial.replace(archive)
        except (OSError, HTTPException, ValueError) as error:
            raise DataError("MS-D245", f"{url} could not be fetched ({error})", file=archive) from error
        finally:
            shutil.rmtree(partial.parent, ignore_errors=True)
    check_published(archive)
    return archive
