"""`mediswarm weights`: the store of pretrained weights."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mediswarm.cli.arguments import JsonOption

app = typer.Typer(help="Keep pretrained weights that jobs name by their digest.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep pretrained weights that jobs name by their digest."""


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A safetensors file.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What people call these weights.")],
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="DIGEST", help="The digest that their publisher names."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="DIR",
            envvar="MEDISWARM_WEIGHTS_DIR",
            help="The weights store (default: ~/.local/share/mediswarm/weights). A server's in a container "
            "is the folder `weights` of its scratch directory.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Copy a safetensors file into the store, and print the digest by which a job names it."""
    from mediswarm.training.weights_store import add_weights, default_store

    stored = add_weights(file, name, store or default_store(), sha256)
    if json:
        typer.echo(json_module.dumps(asdict(stored) | {"file": str(stored.file)}))
        return
    typer.echo(f"{stored.name}: {stored.tensors} tensors, {stored.bytes:,} bytes, at {stored.file}")
    typer.echo(f"in job.yml:\n\npretrained:\n  sha256: {stored.sha256}")
