"""Jobs and what they take, as text that fits a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn

from mediswarm.cli.run_view import counted
from mediswarm.errors import MediSwarmError
from mediswarm.spec import Job
from mediswarm.training.kept_figures import ModelSize, StepEstimate


def watched(jobs: list[Job], doing: str) -> Iterator[Job]:
    """The jobs one by one, named on standard error while they last; without a terminal, in silence."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=len(jobs))
        for job in jobs:
            progress.update(task, description=f"{doing} {job.name}")
            yield job
            progress.advance(task)


def show_jobs(rows: Iterable[tuple[Job, ModelSize | None, list[StepEstimate]]]) -> None:
    """Each job with its model's size, its question, and what was measured of it."""
    width, unmeasured = Console().width, 0
    for job, size, steps in rows:
        unmeasured += not steps
        typer.secho(job.name, bold=True)
        parts = (
            job.pipeline,
            f"{job.workflow.name} × {counted(job.workflow.rounds, 'round')}",
            size_text(size) if size else "its network cannot be built on this machine",
        )
        for text in (", ".join(parts), job.description, *map(step_text, steps)):
            typer.echo(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  "))
    if unmeasured:
        text = (
            f"{counted(unmeasured, 'job')} without figures of a training step: "
            "`mediswarm job estimate JOB` measures one on this machine, `--all` every one."
        )
        typer.echo(textwrap.fill(text, width))


def size_text(size: ModelSize) -> str:
    """A model's size in words."""
    return f"{size.parameters:,} parameters, {size.bytes / 2**20:.3g} MiB"


def step_text(step: StepEstimate) -> str:
    """A measured step in words."""
    how = f" with {counted(step.threads, 'thread')}" if step.device == "cpu" else ""
    return (
        f"{step.seconds_per_case:.3g} s per training case ({step.processor_seconds_per_case:.3g} s of "
        f"processor time), {step.peak_bytes / 2**30:.2f} GiB at most, "
        f"in batches of {step.batch_size} on {step.device_name}{how} ({step.measured})"
    )


def show_estimate(job: Job, size: ModelSize | None, step: StepEstimate | MediSwarmError) -> None:
    """What was measured of a job, or why nothing was."""
    typer.secho(job.name, bold=True)
    if isinstance(step, MediSwarmError):
        typer.echo(textwrap.indent(step.describe(), "  "))
        return
    for text in (size_text(size) if size else "", step_text(step)):
        if text:
            typer.echo(textwrap.fill(text, Console().width, initial_indent="  ", subsequent_indent="  "))
