"""Why one examination cannot be prepared."""

from __future__ import annotations

from pathlib import Path

from mediswarm.errors import DataError


class CaseError(DataError):
    """An error whose message holds nothing of a DICOM header, a folder's or a file's name.

    These may identify a patient. They stand in `detail`, which is shown only when asked for.
    """

    def __init__(
        self, code: str, message: str, *, detail: str | Path = "", repair: str | None = None
    ) -> None:
        super().__init__(code, message, repair=repair)
        self.detail = str(detail)
