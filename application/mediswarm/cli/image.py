"""`mediswarm image`: build container images, list them, and say what is in them."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mediswarm.cli.arguments import JsonOption
from mediswarm.errors import ImageError

app = typer.Typer(help="Build container images, list them, and say what is in them.", no_args_is_help=True)

_ImageArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[IMAGE]", help="An image on this machine; what this command runs in if left out."
    ),
]


@app.command()
def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cifar10, ODELIA or STAMP.")],
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="IMAGE", help="Image with Python to build on, best by digest."),
    ] = None,
    wheels: Annotated[
        Path | None,
        typer.Option(
            "--wheels", metavar="DIR", help="Folder with every wheel of the lock; nothing is downloaded."
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag", metavar="NAME:TAG", help="Its name and tag; mediswarm/NAME:VERSION if left out."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Build an image; the id it prints can stand in the federation file."""
    from mediswarm.provision.image_build import build_image
    from mediswarm.provision.image_engine import docker_engine

    console = Console(stderr=True)
    with docker_engine() as client, console.status(f"building {name}") as status:

        def watch(line: str) -> None:
            if not line.startswith("Step "):
                return
            if console.is_terminal:
                status.update(escape(line))
            else:
                typer.echo(line, err=True)

        built = build_image(client, name, base=base, wheels=wheels, tag=tag, watch=watch)
    if json:
        typer.echo(json_module.dumps(asdict(built)))
    else:
        typer.echo(f"built {built.tag} in {built.seconds:.0f} s, {_megabytes(built.bytes)}\nid {built.id}")


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List MediSwarm's images on this machine."""
    from mediswarm.provision.image_engine import docker_engine
    from mediswarm.provision.image_inspect import images_here

    with docker_engine() as client:
        images = images_here(client)
    if json:
        typer.echo(json_module.dumps(images))
        return
    table = Table()
    for column in ("image", "version", "revision", "id", "size"):
        table.add_column(column, no_wrap=column == "image")
    for image in images:
        revision = (image["revision"] or "")[:12]
        table.add_row(
            image["tags"][0], image["version"], revision, image["id"][:19], _megabytes(image["bytes"])
        )
    Console().print(table)


@app.command()
def licenses(image: _ImageArgument = None, json: JsonOption = False) -> None:
    """List the licences of all packages; fails if one is under the GPL or AGPL."""
    from mediswarm.preflight.board import exit_code, show_board
    from mediswarm.provision.image_inspect import LICENCES
    from mediswarm.provision.installed import Component, installed_components
    from mediswarm.provision.licences import licence_findings, licence_list

    if image is None:
        components = installed_components()
    else:
        from mediswarm.provision.image_engine import docker_engine
        from mediswarm.provision.image_inspect import list_inside

        with docker_engine() as client:
            components = [Component(**entry) for entry in list_inside(client, image, LICENCES)]
    findings = licence_findings(components)
    if json:
        typer.echo(json_module.dumps(licence_list(components), indent=1))
        raise typer.Exit(exit_code(findings, ImageError.exit_code))
    table = Table()
    for column in ("package", "version", "licence"):
        table.add_column(column, overflow="fold")
    for component in components:
        table.add_row(component.name, component.version, component.licence or "-")
    Console().print(table)
    raise typer.Exit(show_board(findings, title="licences of Python packages", failed=ImageError.exit_code))


@app.command()
def sbom(image: _ImageArgument = None) -> None:
    """Print the software bill of materials, as CycloneDX JSON."""
    from mediswarm.provision.image_inspect import BILL, list_inside
    from mediswarm.provision.installed import installed_components
    from mediswarm.provision.sbom import bill_of_materials

    if image is None:
        document = bill_of_materials(installed_components())
    else:
        from mediswarm.provision.image_engine import docker_engine

        with docker_engine() as client:
            document = list_inside(client, image, BILL)
    typer.echo(json_module.dumps(document, indent=1))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
