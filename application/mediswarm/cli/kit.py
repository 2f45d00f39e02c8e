"""`mediswarm kit`: look at startup kits, and make one whose private key never leaves its owner."""

from __future__ import annotations

import json as json_module
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mediswarm.cli.arguments import JsonOption
from mediswarm.errors import KitError

app = typer.Typer(help="Look at startup kits; ask for one with a key of one's own.", no_args_is_help=True)

_DAY = 24 * 3600


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A kit, or a folder of kits.")],
    json: JsonOption = False,
) -> None:
    """List kits with what they are and when they end; exit code 12 when one has expired."""
    from mediswarm.spec.kit import WARN_DAYS, expires_within, kits_in

    kits = kits_in(folder)
    now = datetime.now(timezone.utc)
    rows = [
        {
            "name": kit.name,
            "role": kit.role,
            "organisation": kit.organisation,
            "federation": kit.federation,
            "generation": kit.generation,
            "expires": kit.expires.isoformat(),
            "days_left": (kit.expires - now).days,
            "state": "expired"
            if expires_within(kit, 0)
            else "expires soon"
            if expires_within(kit, WARN_DAYS * _DAY)
            else "valid",
        }
        for kit in kits
    ]
    if json:
        typer.echo(json_module.dumps(rows))
    else:
        for federation, generation in dict.fromkeys((kit.federation, kit.generation) for kit in kits):
            table = Table(title=f"federation {federation}, generation {generation}")
            for column in ("name", "role", "organisation", "certificate ends", "state"):
                table.add_column(column, overflow="fold")
            for row in rows:
                if row["generation"] == generation:
                    facts = (row["name"], row["role"], row["organisation"])
                    ends = f"{str(row['expires'])[:10]} ({row['days_left']} days)"
                    table.add_row(*map(str, facts), ends, str(row["state"]))
            Console().print(table)
    expired = [str(row["name"]) for row in rows if row["state"] == "expired"]
    if expired:
        raise KitError("MS-K003", f"the certificate has ended: {', '.join(expired)}", file=folder)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="KIT", help="The kit's folder.")],
    json: JsonOption = False,
) -> None:
    """Show a kit's manifest, after comparing every file of the kit with it."""
    from mediswarm.spec.kit import verify_kit

    kit = verify_kit(folder)
    if json:
        typer.echo(kit.model_dump_json())
        return
    for key, value in json_module.loads(kit.model_dump_json(exclude={"files", "format"})).items():
        typer.echo(f"{key:14}{value if not isinstance(value, list) else ', '.join(value)}")
    typer.echo(f"{'files':14}{len(kit.files)}, all as they were made")


@app.command()
def request(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The participant's name.")],
    organisation: Annotated[
        str,
        typer.Option("--organisation", metavar="NAME", help="Its organisation, as in the federation file."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to put key and request.")] = Path(),
    json: JsonOption = False,
) -> None:
    """Make a private key, which stays here, and a request for a certificate, for the operator."""
    from mediswarm.provision.requests import make_request

    file, fingerprint = make_request(name, organisation, out)
    if json:
        typer.echo(json_module.dumps({"request": str(file), "fingerprint": fingerprint}))
        return
    typer.echo(f"wrote {file}: send it to the operator\nkeep {file.with_suffix('.key')}: send it to nobody")
    typer.echo(f"key {fingerprint}: read it out to the operator by telephone")


@app.command()
def complete(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="NAME.tar.gz from the operator.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="NAME.key, which stayed here.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where to put the kit's folder.")
    ] = Path(),
) -> None:
    """Unpack a kit that came without a private key, and add the key."""
    from mediswarm.provision.requests import complete_kit

    kit = complete_kit(archive, key, out)
    typer.echo(f"the kit is ready: {out / kit.name}")
