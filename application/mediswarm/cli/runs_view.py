"""Runs, segments and sites as tables."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from mediswarm.cli.run_view import counted

if TYPE_CHECKING:
    from mediswarm.flare.federation_server import ConnectedSite
    from mediswarm.flare.run_state import Run, RunState, SegmentEntry

_UNWRAPPED = 500


def show_runs(state: RunState) -> None:
    """All runs, one line each."""
    runs = state.runs()
    if not runs:
        _console().print("no runs yet")
        return
    table = _table("run", "state", "rounds", "segments", "what it waits for, or ended with")
    for run in runs:
        segments = state.segments(run.id)
        done = max((segment.committed for segment in segments), default=0)
        why = f"{run.error['code']} {run.error['message']}" if run.error else run.note
        table.add_row(run.id, run.state, f"{done} of {run.rounds}", str(len(segments)), why)
    _console().print(table)


def show_run(run: Run, segments: list[SegmentEntry], record: dict[str, Any]) -> None:
    """One run with its segments and participants."""
    console = _console()
    done = max((segment.committed for segment in segments), default=0)
    console.print(f"{run.id}: {run.state}, {done} of {counted(run.rounds, 'round')}", highlight=False)
    if run.note:
        console.print(run.note, highlight=False)
    if run.error:
        console.print(f"error[{run.error['code']}] {run.error['message']}", highlight=False, markup=False)
        console.print(f"  hint: {run.error['repair']}", highlight=False, markup=False)
    if segments:
        table = _table("segment", "sites", "from round", "committed", "state")
        for segment in segments:
            how = segment.outcome or segment.state
            if segment.error:
                how = f"{how}, {segment.error['code']}"
            table.add_row(
                str(segment.number),
                ", ".join(segment.sites),
                str(segment.first_round),
                str(segment.committed - segment.first_round),
                how,
            )
        console.print(table)
    best = record.get("best")
    if best:
        console.print(
            f"best model so far: after {counted(best['model'], 'round')}, "
            f"{best['metric']} {best['value']:.3f}",
            highlight=False,
        )


def show_sites(sites: list[ConnectedSite], roster: tuple[str, ...], expires: datetime) -> None:
    """The federation's sites, connected or not, and until when its certificates last."""
    from mediswarm.spec.certificate import when

    days = (expires - datetime.now(timezone.utc)).days
    _console().print(
        f"the first certificate of admin and server ends {when(expires)}, in {counted(days, 'day')}",
        highlight=False,
    )
    table = _table("site", "state", "heard of", "NVFlare jobs")
    seen = {site.name: site for site in sites}
    for name in sorted({*roster, *seen}):
        site = seen.get(name)
        if site is None:
            table.add_row(name, "not connected", "", "")
            continue
        ago = max(0.0, time.time() - site.last_seen)
        state = "connected" if site.alive else "does not answer"
        table.add_row(name, state, f"{ago:.0f} s ago", str(len(site.jobs)))
    _console().print(table)


def event_line(event: dict[str, Any]) -> str:
    """One event of a run as a line."""
    known = {"time", "event"}
    rest = "  ".join(f"{key}={_short(value)}" for key, value in event.items() if key not in known)
    return f"{event['time']}  {event['event']:<12}  {rest}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ",".join(f"{key}:{_short(part)}" for key, part in value.items()) or "none"
    return str(value)


def _console() -> Console:
    # a file or another program reads this: a run's id broken at some width could not be copied
    return Console() if sys.stdout.isatty() else Console(width=_UNWRAPPED)


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:  # a run's id is copied: it stays in one piece
        table.add_column(column, overflow="fold", no_wrap=column == "run")
    return table
