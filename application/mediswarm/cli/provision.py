"""`mediswarm provision`: from a federation file to startup kits."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mediswarm.cli.arguments import JsonOption

_NEXT = {
    "new": "hand out the archive",
    "changed": "hand out the new archive",
    "unchanged": "",
    "waiting": "the participant sends a request: `mediswarm kit request`",
}


def provision(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The federation file.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder of the federation (default: provisioned/<FEDERATION>)."
        ),
    ] = None,
    approve: Annotated[
        list[Path] | None,
        typer.Option("--approve", metavar="REQUEST", help="Approve a certificate request, NAME.csr."),
    ] = None,
    renew: Annotated[
        list[str] | None,
        typer.Option("--renew", metavar="NAME", help="Make a new key and certificate for a participant."),
    ] = None,
    new_generation: Annotated[
        bool,
        typer.Option("--new-generation", help="Start anew: every participant then needs a new kit."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make the startup kits of a federation, or bring them up to date; what is up to date stays as it is."""
    from mediswarm.provision.provisioning import provision as make_kits
    from mediswarm.spec.federation import load_federation

    federation = load_federation(file)
    folder = out or Path("provisioned") / federation.name
    done = make_kits(
        federation, folder, renew=renew or (), approve=approve or (), new_generation=new_generation
    )
    if json:
        typer.echo(
            json_module.dumps(
                {
                    "federation": federation.name,
                    "generation": done.generation,
                    "kits": str(done.kits),
                    "participants": done.outcomes,
                    "approved": done.approved,
                    "removed": [
                        {"name": gone.name, "expires": gone.expires.isoformat()} for gone in done.removed
                    ],
                }
            )
        )
        return
    table = Table(title=f"federation {federation.name}, generation {done.generation}")
    for column in ("participant", "kit", "next"):
        table.add_column(column, overflow="fold")
    for name, outcome in done.outcomes.items():
        table.add_row(name, outcome, _NEXT[outcome])
    Console().print(table)
    typer.echo(
        f"kits are in {done.kits}; {folder / 'state'} holds the root's private key: back it up, show nobody"
    )
    for name, fingerprint in done.approved.items():
        typer.echo(f"approved {name}, key {fingerprint}: compare it with what the participant reads out")
    for gone in done.removed:
        typer.echo(
            f"warning: {gone.name} is no longer in the file, but its certificate is valid until "
            f"{gone.expires:%Y-%m-%d}\n  hint: `nvflare system disable-client {gone.name}` keeps a site out.",
            err=True,
        )
