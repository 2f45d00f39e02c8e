"""From a path to a validated :class:`Job`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mediswarm.errors import JobError
from mediswarm.spec.explain import explain
from mediswarm.spec.job import Job
from mediswarm.spec.yaml_lines import KeyPath, read_yaml


def load_job(path: Path | str) -> Job:
    """Read and validate a job.

    Args:
        path: a job's folder or its job.yml.

    Raises:
        JobError: MS-J001 to MS-J008 and MS-J011, naming file, key, line and repair.
    """
    job, _ = load_job_with_lines(path)
    return job


def load_job_with_lines(path: Path | str) -> tuple[Job, dict[KeyPath, int]]:
    """As :func:`load_job`, with the line of every key, for those who check further."""
    path = Path(path)
    file = path / "job.yml" if path.is_dir() else path
    if not file.is_file():
        raise JobError("MS-J001", "there is no such job file", file=file)
    document, lines = read_yaml(file)
    if not isinstance(document, dict):
        raise JobError("MS-J005", "a job is a mapping of keys to values", file=file, line=1)
    try:
        job = Job.model_validate(document)
    except ValidationError as error:
        raise explain(error, Job, file, lines) from error
    folder = file.resolve().parent
    if job.name != folder.name:
        raise JobError(
            "MS-J006",
            f"`name` is {job.name!r} but the folder is {folder.name!r}",
            repair="Give the job the name of its folder.",
            file=file,
            line=lines.get(("name",)),
        )
    for shipped in job.shipped_files:
        if not (folder / shipped).is_file():
            key = ("pipeline",) if job.ships_code and shipped == job.shipped_files[0] else ("files",)
            raise JobError(
                "MS-J007",
                f"the job refers to {shipped!r}, which is not there",
                file=file,
                line=lines.get(key),
            )
    return job.at(folder), lines
