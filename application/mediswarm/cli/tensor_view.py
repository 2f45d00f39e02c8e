"""The tensors of a job's model as a table."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from mediswarm.training.tensor_list import TensorList


def show_tensors(found: TensorList, *, as_json: bool) -> None:
    """Print one line for each tensor, and totals; in JSON, `tensors` and `totals`."""
    totals = {
        which: {"tensors": found.count(federated=federated), "bytes": found.bytes(federated=federated)}
        for which, federated in (("federated", True), ("local", False))
    }
    if as_json:
        document = {
            "tensors": [asdict(entry) for entry in found.tensors],
            "totals": totals | {"exchanged_bytes": found.exchanged_bytes},
        }
        typer.echo(json.dumps(document))
        return
    # plain columns: hundreds of long names are for grep and sort, not for a table that wraps
    width = max(len(entry.name) for entry in found.tensors)
    typer.echo(f"{'tensor':<{width}}  {'shape':>16}  {'type':>8}  {'bytes':>11}  {'trained':>7}  where")
    for entry in found.tensors:
        shape = "x".join(str(size) for size in entry.shape) or "scalar"
        where, trained = "federated" if entry.federated else "local", "yes" if entry.trained else "no"
        typer.echo(
            f"{entry.name:<{width}}  {shape:>16}  {entry.dtype:>8}  {entry.bytes:>11,}  {trained:>7}  {where}"
        )
    for which, total in totals.items():
        typer.echo(f"{which}: {total['tensors']} tensors, {total['bytes']:,} bytes")
    typer.echo(f"a model crosses as {found.exchanged_bytes:,} bytes")
