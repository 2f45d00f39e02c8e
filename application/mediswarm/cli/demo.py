"""`mediswarm demo`: three synthetic hospitals, local and federated training, a report."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mediswarm.cli.arguments import JsonOption, job_named
from mediswarm.cli.run_view import RunView
from mediswarm.errors import UsageError

DEMO_JOB = "odelia_demo"


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where data, runs, summary.json and report.html go.")
    ] = Path("demo"),
    json: JsonOption = False,
) -> None:
    """Show what federation buys: a 3D classifier at three synthetic hospitals, alone and together."""
    from mediswarm.data.synthetic_odelia import write_synthetic_odelia
    from mediswarm.evaluation.comparison import comparison_table
    from mediswarm.evaluation.federation_gain import FederationGain
    from mediswarm.pipelines.find import load_pipeline

    if out.exists() and any(out.iterdir()):
        raise UsageError("MS-U003", "the demo's directory is not empty", file=out)
    spec, console = job_named(DEMO_JOB), Console(stderr=True)
    data_dir = out.resolve() / "data"

    @contextmanager
    def viewer(title: str) -> Iterator[Callable[[dict[str, Any]], None]]:
        with RunView(title, spec.workflow.rounds, spec.selection.metric) as view:
            yield view.event

    gain = FederationGain(spec, [], data_dir, out.resolve(), viewer)
    with gain.phase("data"), console.status("writing synthetic breast volumes of three hospitals"):
        write_synthetic_odelia(data_dir)
    gain.sites = load_pipeline(spec).sites(data_dir)
    gain.train_local()
    gain.train_federated()
    results, differences, summary = gain.evaluate()
    if json:
        typer.echo(json_module.dumps(summary))
        return
    Console().print(comparison_table(results, differences))
    typer.echo(f"{summary['verdict']}\nreport: {gain.folder / 'report.html'}")
