"""Arguments that several commands share."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediswarm.errors import UsageError
from mediswarm.spec import Job
from mediswarm.spec.catalogue import find_job

if TYPE_CHECKING:  # pipelines import torch, which a command that only reads jobs need not wait for
    from mediswarm.pipelines.base import Pipeline

JobArgument = Annotated[
    str,
    typer.Argument(metavar="JOB", help="A job's name (see `mediswarm job list`), its folder or its job.yml."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Directory with one folder for each site; only read."),
]
SiteOption = Annotated[str, typer.Option("--site", metavar="NAME", help="Name of the site.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Run directory [default: runs/<JOB>-<time>].")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, …")]
ScratchOption = Annotated[
    Path | None,
    typer.Option("--scratch", metavar="DIR", help="Writable directory for caches and temporary files."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def job_named(name: str) -> Job:
    """The job of an argument."""
    return find_job(name)


def data_directory(path: Path | None) -> Path | None:
    """The data directory of an option.

    Raises:
        UsageError: MS-U001 when it does not exist.
    """
    if path is not None and not path.is_dir():
        raise UsageError("MS-U001", "the data directory does not exist", file=path)
    return path.resolve() if path is not None else None


def sites_of(pipeline: Pipeline[Any], data_dir: Path | None, wanted: str | None) -> list[str]:
    """The sites to run: those named, or all that the data directory holds.

    Raises:
        UsageError: MS-U002 for a site that is not there, or when there is none.
    """
    there = pipeline.sites(data_dir)
    named = [name.strip() for name in wanted.split(",")] if wanted else there
    missing = [name for name in named if name not in there] if data_dir is not None else []
    if missing or not named:
        raise UsageError(
            "MS-U002",
            f"there is no site {', '.join(missing) or 'at all'}; "
            f"the data directory holds {', '.join(there) or 'none'}",
            file=data_dir,
        )
    return named


def run_directory(path: Path | None, job: Job) -> Path:
    """The run directory of an option, newly made.

    Raises:
        UsageError: MS-U003 when it holds a run already.
    """
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = path or Path("runs") / f"{job.name}-{stamp}"
    if (folder / "run.json").exists() or (folder / "events.jsonl").exists():
        raise UsageError("MS-U003", "the run directory holds a run already", file=folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
