"""AdrenalMNIST3D at three sites: pooled, local and federated training on the official test cases.

The official file (Yang et al., MedMNIST v2, Scientific Data 2023; CC BY 4.0) is written as
NIfTI volumes in the ODELIA layout. Training and validation cases are divided among three
sites; every site holds the official test split, so that all methods are judged on the same
cases. Each method trains the same number of rounds of one epoch.

    python scripts/evaluation/adrenal.py --npz adrenalmnist3d.npz --partition iid,skewed --seeds 0,1
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from real_volume_sites import ADRENAL_CLASSES, EVEN, POOLED, SITES, adrenal_cases, write_pooled, write_sites
from rich.console import Console
from rich.table import Table

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.pipelines import Site
from mediswarm.spec import Job, load_job

SHARES = {
    "iid": (EVEN, EVEN),
    "skewed": ((0.60, 0.30, 0.10), (0.10, 0.30, 0.60)),
}
"""Share of each class, normal and hyperplasia, that each site receives."""


def write_layout(npz: Path, folder: Path, partitions: Sequence[str]) -> None:
    """Write ``<folder>/<partition>/<site>`` and ``<folder>/pooled/pooled``; the sites link its volumes."""
    cases = adrenal_cases(npz)
    everything = write_pooled(folder / POOLED, cases)
    for partition in partitions:
        write_sites(folder / partition, cases, everything, SHARES[partition])


def write_job(folder: Path, seed: int, epochs: int) -> Job:
    """The job that every method trains; only the sites that take part differ."""
    document = {
        "name": "adrenal",
        "description": "Is this adrenal gland hyperplastic?",
        "pipeline": "odelia",
        "config": {
            "classes": list(ADRENAL_CLASSES),
            "input_size": [28, 28, 28],
            "backbone": {"name": "cnn3d", "width": 16, "norm": "batch"},
        },
        "training": {
            "local": {"epochs": 1},
            "batch_size": 32,
            "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
            "schedule": {"name": "cosine", "warmup": 0.1},
            "gradient_clip": 1.0,
            "seed": seed,
        },
        "workflow": {"name": "fedavg", "rounds": epochs},
        "selection": {"metric": "auroc_macro", "mode": "max"},
    }
    job = folder / "adrenal" / "job.yml"
    job.parent.mkdir(parents=True, exist_ok=True)
    job.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_job(job)


def train(job: Job, method: str, names: Sequence[str], data: Path, folder: Path) -> dict[str, Any]:
    """Train with `names`, and judge the best model, chosen on validation cases, on the test cases."""
    started = time.perf_counter()
    record = ReferenceRun(job, [Site(name, data) for name in names], folder).run()
    # every site holds the same test cases
    test = record["test"][names[0]]
    where = f"{data.name}, {method} at {', '.join(names)}"
    print(f"seed {job.training.seed}, {where}: AUC {test['auroc_macro']:.3f}", flush=True)
    return {
        "partition": data.name,
        "method": method,
        "sites": list(names),
        "seed": job.training.seed,
        "auc": test["auroc_macro"],
        "accuracy": test["accuracy"],
        "balanced_accuracy": test["balanced_accuracy"],
        "chosen_round": record["best"]["model"],
        "seconds": round(time.perf_counter() - started, 1),
    }


def show(results: list[dict[str, Any]]) -> None:
    """Print mean and range over the seeds."""
    table = Table(title="AdrenalMNIST3D, official test split: mean over the seeds")
    for column in ("partition", "trained at", "AUC", "range", "accuracy", "balanced"):
        table.add_column(column, no_wrap=True)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in results:
        where = row["sites"][0] if len(row["sites"]) == 1 else "all, federated"
        groups.setdefault((row["partition"], where), []).append(row)
    for group, rows in groups.items():
        aucs = [row["auc"] for row in rows]
        auc, accuracy, balanced = (
            statistics.fmean(row[key] for row in rows) for key in ("auc", "accuracy", "balanced_accuracy")
        )
        spread = f"{min(aucs):.3f}-{max(aucs):.3f}"
        table.add_row(*group, f"{auc:.3f}", spread, f"{accuracy:.3f}", f"{balanced:.3f}")
    Console().print(table)


def main() -> None:
    """Train every method with every seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--npz", type=Path, required=True, help="the official adrenalmnist3d.npz")
    parser.add_argument("--partition", default="iid,skewed", help="iid, skewed, or both separated by a comma")
    parser.add_argument("--seeds", default="0,1", help="separated by commas")
    parser.add_argument("--epochs", type=int, default=12, help="rounds of one epoch")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    arguments = parser.parse_args()
    partitions = arguments.partition.split(",")
    if not set(partitions) <= set(SHARES):
        parser.error(f"--partition takes {' and '.join(SHARES)}")
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_layout(arguments.npz, folder / "data", partitions)
        trainings = [
            (POOLED, POOLED, (POOLED,)),
            *(
                (partition, method, names)
                for partition in partitions
                for method, names in (*(("local", (site,)) for site in SITES), ("federated", SITES))
            ),
        ]
        for seed in map(int, arguments.seeds.split(",")):
            job = write_job(folder, seed, arguments.epochs)
            for number, (partition, method, names) in enumerate(trainings):
                run = folder / "runs" / f"{seed}-{number}"
                results.append(train(job, method, names, folder / "data" / partition, run))
                if arguments.json:
                    document = {"epochs": arguments.epochs, "results": results}
                    arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
