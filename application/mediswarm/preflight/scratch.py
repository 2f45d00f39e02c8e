"""The scratch directory: writable, apart from the data, and large enough (R13)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from mediswarm.data.findings import Finding
from mediswarm.errors import NO_ROOM, HostError

_GIB = 1 << 30
_NEEDED = 1 * _GIB  # the models of one run, and room to write a new one before the old one goes
_COMFORTABLE = 10 * _GIB


def check_scratch(scratch: Path, data_dir: Path | None = None) -> list[Finding]:
    """Check that `scratch`, which need not exist yet, can serve a run.

    Args:
        scratch: where caches, temporary files and run directories go.
        data_dir: the data directory, which is only read and must not hold `scratch`.
    """
    if data_dir is not None and data_dir.resolve() in (scratch.resolve(), *scratch.resolve().parents):
        error = HostError("MS-H011", f"the data directory is {data_dir}", file=scratch)
        return [Finding.of(error, "scratch")]
    place = nearest_folder(scratch)
    return [_writable(scratch, place), _space(scratch, place)]


def nearest_folder(path: Path) -> Path:
    """The path itself, or the closest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def _writable(scratch: Path, place: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(b"scratch")
            stream.flush()
    except OSError as error:
        code = "MS-H004" if error.errno in NO_ROOM else "MS-H001"
        why = error.strerror or type(error).__name__
        return Finding.of(HostError(code, f"a file cannot be written there: {why}", file=scratch), "scratch")
    return Finding.passed(
        "scratch", f"{scratch} is writable" if place == scratch.absolute() else f"{scratch} can be made"
    )


def _space(scratch: Path, place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    said = f"{free / _GIB:.1f} GiB free"
    if free >= _COMFORTABLE:
        return Finding.passed("disk", said)
    error = HostError(
        "MS-H005",
        f"{said}; a run needs {_NEEDED / _GIB:.0f}, {_COMFORTABLE / _GIB:.0f} is safe",
        file=scratch,
    )
    return Finding(
        "FAIL" if free < _NEEDED else "WARN", "disk", error.message, error.code, error.repair, error.place
    )
