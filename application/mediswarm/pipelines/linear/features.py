"""The list of features that a job ships: one name on each line."""

from __future__ import annotations

from pathlib import Path

from mediswarm.errors import JobError


def read_features(folder: Path | None, name: str) -> tuple[str, ...]:
    """Names of the features, in their order.

    Args:
        folder: the job's folder.
        name: the file in it; blank lines and lines that start with `#` are skipped.

    Raises:
        JobError: MS-J011 outside the job's folder, MS-J007 not there, MS-D221 not
            UTF-8 text, without a name or with a name twice.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise JobError("MS-J011", f"`config.features` is {name!r}, which lies outside the job's folder")
    file = (folder or Path()) / name
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise JobError(
            "MS-J007",
            "the list of features is not there",
            repair="Put it beside job.yml, and name it under `files:` so that it travels with the job.",
            file=file,
        ) from error
    except UnicodeDecodeError as error:
        raise JobError("MS-D221", "the list of features is not UTF-8 text", file=file) from error
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        feature = line.strip()
        if not feature or feature.startswith("#"):
            continue
        if feature in first_line:
            message = f"feature {feature!r} stands at line {first_line[feature]} and again here"
            raise JobError("MS-D221", message, file=file, line=number)
        first_line[feature] = number
    if not first_line:
        raise JobError("MS-D221", "the list of features names none", file=file)
    return tuple(first_line)
