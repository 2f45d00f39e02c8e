"""`mediswarm odelia`: from DICOM to what the ODELIA pipeline reads."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mediswarm.cli.arguments import JsonOption
from mediswarm.errors import UsageError

app = typer.Typer(help="Prepare breast MRI for the pipeline odelia.", no_args_is_help=True)


@app.command()
def prepare(
    source: Annotated[
        Path,
        typer.Option(
            "--input", metavar="DIR", help="One folder of DICOM files for each examination; only read."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="The site's folder that is made; go on where it was left."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Label table (default: labels.csv in the input)."),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            "--rules", metavar="FILE", help="Which series is which (default: `mediswarm odelia rules`)."
        ),
    ] = None,
    original: Annotated[
        bool,
        typer.Option(
            "--original", help="Also write both breasts in one volume, for jobs with laterality original."
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Processes (default: by cores and memory)."),
    ] = None,
    show_cases: Annotated[
        bool, typer.Option("--show-cases", help="Name files and series concerned; for eyes at the site only.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make volumes of single breasts, tables and a page of pictures from DICOM; exit code 4 if a case failed.

    An input in the ODELIA layout is checked and tagged instead, where it lies.
    """
    from mediswarm.cli.prepare_view import PrepareView, show_preparation
    from mediswarm.data.prepare.existing import is_prepared_layout
    from mediswarm.data.prepare.preparation import prepare_dicom, tag_prepared, usual_workers
    from mediswarm.errors import DataError

    if not source.is_dir():
        raise UsageError("MS-U001", "there is no such folder to prepare", file=source)
    layout = is_prepared_layout(source)
    if layout and output is not None and output.resolve() != source.resolve():
        raise UsageError(
            "MS-U004",
            "the input is in the ODELIA layout, which is tagged where it lies",
            repair="Leave --output out.",
            file=source,
        )
    for option, given in (("--labels", labels), ("--rules", rules), ("--original", original)):
        if layout and given:
            raise UsageError(
                "MS-X026", f"{option} was given, and the input is in the ODELIA layout", file=source
            )
    if not layout and output is None:
        raise UsageError("MS-U004", "no --output was given", repair="Name the folder that is to be made.")
    with PrepareView() as view:
        processes = workers or usual_workers()
        if layout or output is None:
            done = tag_prepared(source, processes, view.case)
        else:
            table = labels or source / "labels.csv"
            done = prepare_dicom(source, output, table, rules, processes, view.case, both=original)
    if json:
        shown = [asdict(one) | ({} if show_cases else {"detail": ""}) for one in done.outcomes]
        typer.echo(json_module.dumps({"cases": shown, "page": str(done.page)}))
    else:
        show_preparation(done, show_cases=show_cases)
    raise typer.Exit(DataError.exit_code if done.failed else 0)


@app.command("rules")
def show_rules() -> None:
    """Print the default rule file, to be copied and changed."""
    from mediswarm.data.prepare.rules import DEFAULT_RULES

    typer.echo(DEFAULT_RULES.read_text(encoding="utf-8"), nl=False)
