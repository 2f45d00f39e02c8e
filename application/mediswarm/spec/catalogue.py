"""The jobs that come with MediSwarm, and finding one by name or path."""

from __future__ import annotations

from pathlib import Path

import mediswarm
from mediswarm.errors import JobError
from mediswarm.spec.job import Job
from mediswarm.spec.load import load_job

JOBS = Path(mediswarm.__file__).resolve().parents[1] / "jobs"
"""The folder of the jobs that come with MediSwarm, beside the package."""


def job_folders(root: Path = JOBS) -> list[Path]:
    """Folders below `root` that hold a job.yml, sorted by name."""
    return sorted(file.parent for file in root.glob("*/job.yml"))


def find_job(name_or_path: str) -> Job:
    """A job by its path, or by its name among those that come with MediSwarm.

    Raises:
        JobError: MS-J001 when it is neither; as :func:`load_job` otherwise.
    """
    path = Path(name_or_path)
    if path.exists():
        return load_job(path)
    if (JOBS / name_or_path / "job.yml").is_file():
        return load_job(JOBS / name_or_path)
    known = ", ".join(folder.name for folder in job_folders()) or "none"
    raise JobError("MS-J001", f"there is no job {name_or_path!r}; the jobs here are {known}", file=path)
