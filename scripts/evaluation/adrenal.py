"""AdrenalMNIST3D at three sites: pooled, local and federated training on the official test cases.

The official file (Yang et al., MedMNIST v2, Scientific Data 2023; CC BY 4.0) is written as
NIfTI volumes in the ODELIA layout. Training and validation cases are divided among three
sites; every site holds the official test split, so that all methods are judged on the same
cases. Each method trains the same number of rounds of one epoch.

    python scripts/evaluation/adrenal.py --npz adrenalmnist3d.npz --partition iid,skewed --seeds 0,1
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import yaml
from rich.console import Console
from rich.table import Table

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.pipelines import Site
from mediswarm.spec import Job, load_job

CLASSES = ("normal", "hyperplasia")
SITES = ("site-1", "site-2", "site-3")
POOLED = "pooled"
SPLITS = ("train", "val", "test")
OFFSET = {"train": 0, "val": 10_000, "test": 20_000}
"""Added to a case's index in its split, to give it an id of its own."""

SHARES = {
    "iid": {"normal": (1 / 3, 1 / 3, 1 / 3), "hyperplasia": (1 / 3, 1 / 3, 1 / 3)},
    "skewed": {"normal": (0.60, 0.30, 0.10), "hyperplasia": (0.10, 0.30, 0.60)},
}
"""Share of each class that each site receives."""

Labels = npt.NDArray[np.int64]


def write_layout(npz: Path, folder: Path, partitions: Sequence[str]) -> None:
    """Write ``<folder>/<partition>/<site>`` and ``<folder>/pooled/pooled``; the sites link its volumes."""
    with np.load(npz) as file:
        images = {split: file[f"{split}_images"] for split in SPLITS}
        labels = {split: file[f"{split}_labels"].ravel().astype(np.int64) for split in SPLITS}
    everything = folder / POOLED / POOLED
    for split in SPLITS:
        for index, voxels in enumerate(images[split]):
            target = volume(everything, split, index)
            target.parent.mkdir(parents=True)
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), target)
    write_tables(everything, {split: np.arange(len(labels[split])) for split in SPLITS}, labels)
    for partition in partitions:
        members = {split: divide(labels[split], partition) for split in ("train", "val")}
        for number, name in enumerate(SITES):
            site = folder / partition / name
            cases = {split: members[split][number] for split in ("train", "val")}
            cases["test"] = np.arange(len(labels["test"]))
            write_tables(site, cases, labels)
            for split in SPLITS:
                for index in cases[split]:
                    link = volume(site, split, index)
                    link.parent.mkdir(parents=True)
                    link.hardlink_to(volume(everything, split, index))


def volume(site: Path, split: str, index: int) -> Path:
    """A case's image file."""
    return site / "data_unilateral" / uid(split, index) / "Sub_1.nii.gz"


def uid(split: str, index: int) -> str:
    """A case's id, the same at every site."""
    return f"adrenal-{OFFSET[split] + index:05d}"


def divide(labels: Labels, partition: str) -> list[Labels]:
    """Indices of the cases of each site; each class is shuffled once and cut by its shares."""
    rng = np.random.default_rng(0)
    parts: list[list[int]] = [[] for _ in SITES]
    for label, name in enumerate(CLASSES):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.round(np.cumsum(SHARES[partition][name])[:-1] * len(shuffled)).astype(int)
        for part, chosen in zip(parts, np.split(shuffled, cuts), strict=True):
            part.extend(chosen.tolist())
    return [np.sort(np.array(part)) for part in parts]


def write_tables(site: Path, cases: dict[str, Labels], labels: dict[str, Labels]) -> None:
    """annotation.csv and split.csv; the file names no patients or ages, each case is its own patient."""
    rows = [(uid(split, index), split, labels[split][index]) for split in SPLITS for index in cases[split]]
    folder = site / "metadata_unilateral"
    folder.mkdir(parents=True)
    annotation: Iterable[tuple[object, ...]] = ((name, name, "", label) for name, _, label in rows)
    split_table: Iterable[tuple[object, ...]] = ((name, split, 0) for name, split, _ in rows)
    for file, header, lines in (
        ("annotation.csv", ("UID", "PatientID", "Age", "Lesion"), annotation),
        ("split.csv", ("UID", "Split", "Fold"), split_table),
    ):
        with (folder / file).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *lines])


def write_job(folder: Path, seed: int, epochs: int) -> Job:
    """The job that every method trains; only the sites that take part differ."""
    document = {
        "name": "adrenal",
        "description": "Is this adrenal gland hyperplastic?",
        "pipeline": "odelia",
        "config": {
            "classes": list(CLASSES),
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
