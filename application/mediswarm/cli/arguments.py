"""Arguments that several commands share."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediswarm.errors import HostError, UsageError
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
    Path | None, typer.Option("--out", metavar="DIR", help="Run directory (default: runs/<JOB>-<time>).")
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


def data_directory(path: Path | None, pipeline: Pipeline[Any]) -> Path | None:
    """The data directory of an option.

    Raises:
        UsageError: MS-U001 when it is no directory, MS-U004 when the pipeline needs one and none is given.
    """
    if path is None:
        if pipeline.needs_data:
            raise UsageError(
                "MS-U004",
                f"no data directory was given, and {type(pipeline).__name__} reads one",
                repair="Pass --data DIR, the directory with one folder for each site.",
            )
        return None
    if not path.is_dir():
        if path.exists():
            raise UsageError(
                "MS-U001",
                "this is a file, and --data takes a directory",
                repair="Give the directory that holds one folder for each site.",
                file=path,
            )
        raise UsageError("MS-U001", "the data directory does not exist", file=path)
    return path.resolve()


def scratch_directory(path: Path | None, data_dir: Path | None) -> Path | None:
    """The scratch directory of an option; raises UsageError MS-U004 when it lies in the data directory."""
    if path is not None and data_dir is not None and path.resolve().is_relative_to(data_dir):
        raise UsageError(
            "MS-U004",
            "the scratch directory lies in the data directory, which is only read",
            repair="Choose a --scratch directory outside of --data.",
            file=path,
        )
    return path


def device_named(name: str) -> str:
    """The device of an option; raises HostError MS-H002 when it is not there."""
    from mediswarm.preflight.device import require_device

    require_device(name)
    return name


def sites_of(pipeline: Pipeline[Any], data_dir: Path | None, wanted: str | None) -> list[str]:
    """The sites to run: those named, or all that the data directory holds.

    Raises:
        UsageError: MS-U002 for a site that is not there, or when there is none; MS-U004 for a
            list with a gap, MS-U005 for a name that no site can have, or that stands twice.
    """
    from mediswarm.spec.site_name import require_site_names

    there = pipeline.sites(data_dir)
    named = there if wanted is None else [name.strip() for name in wanted.split(",")]
    if "" in named:
        raise UsageError(
            "MS-U004",
            "a site's name is empty",
            repair="Write the names with one comma between each two and none at the ends.",
        )
    require_site_names(named)
    missing = [name for name in named if name not in there] if data_dir is not None else []
    if missing or not named:
        raise UsageError(
            "MS-U002",
            f"there is no site {', '.join(missing) or 'at all'}; "
            f"the data directory holds {', '.join(there) or 'none'}",
            file=data_dir,
        )
    return named


def run_directory(path: Path | None, job: Job, data_dir: Path | None) -> Path:
    """The run directory of an option, newly made; what is written from now on is the account's alone.

    Raises:
        UsageError: MS-U003 when it is not empty, MS-U004 when it lies in the data directory.
        HostError: MS-H001 when it cannot be written.
    """
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return _new(path or Path("runs") / f"{job.name}-{stamp}", "the run directory", data_dir)


def result_directory(path: Path, data_dir: Path | None) -> Path:
    """The directory of an option for results; what is written from now on is the account's alone.

    Raises:
        UsageError: MS-U003 when it is not empty, MS-U004 when it lies in the data directory.
        HostError: MS-H001 when it cannot be written.
    """
    return _new(path, "the directory for the results", data_dir)


def _new(folder: Path, what: str, data_dir: Path | None) -> Path:
    os.umask(0o077)  # predictions hold case ids
    if data_dir is not None and folder.resolve().is_relative_to(data_dir):
        raise UsageError(
            "MS-U004",
            "the output directory lies in the data directory, which is only read",
            repair="Choose an --out directory outside of --data.",
            file=folder,
        )
    try:
        # asked before anything is written: results would lie among what is there, or over it
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError("MS-U003", f"{what} is not empty", file=folder)
        folder.mkdir(parents=True, exist_ok=True)
        # a directory that exists may still refuse files: tried rather than believed
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise HostError(
            "MS-H001",
            f"the output directory cannot be written: {error.strerror}",
            repair="Choose an --out directory that this account can write.",
            file=folder,
        ) from error
    return folder.resolve()
