"""Real volumes through the ODELIA pipeline: AUC of each backbone, pooled and in a federation of three sites.

Two public data sets: AdrenalMNIST3D (shapes; Yang et al., MedMNIST v2, 2023; official splits) and
the hippocampus MR crops of the Medical Segmentation Decathlon (Antonelli et al., 2022), where the
class to be seen in the image is the tercile of the hippocampus's volume in mm³. These crops were
cut around the hippocampus: what their edges alone tell is printed too.

Every backbone is small enough for a CPU, has the same schedule, and chooses its model on the
validation cases. The seconds are CPU time of training and judgement.

    python scripts/evaluation/real_volumes.py --folder DIR --data adrenal,hippocampus --json results.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import yaml
from pydantic import TypeAdapter
from real_volume_sites import (
    ADRENAL_CLASSES,
    EVEN,
    HIPPOCAMPUS_CLASSES,
    POOLED,
    SITES,
    Case,
    adrenal_cases,
    hippocampus_cases,
    write_pooled,
    write_sites,
)
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.evaluation.classification import evaluate_predictions
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.pipelines.odelia import backbones
from mediswarm.spec import Job, load_job

FEDERATED = "federated"


@dataclass(frozen=True)
class Question:
    """A data set, where it lies in the folder of data sets, and how it is trained."""

    file: str
    read: Callable[[Path], list[Case]]
    classes: tuple[str, ...]
    input_size: tuple[int, int, int]
    batch_size: int
    epochs: int


@dataclass(frozen=True)
class Backbone:
    """The sizes of a network, small enough for a CPU, and its learning rate."""

    sizes: dict[str, Any]
    rate: float


QUESTIONS = {
    "adrenal": Question("adrenal/adrenalmnist3d.npz", adrenal_cases, ADRENAL_CLASSES, (28, 28, 28), 32, 6),
    # cuts off most of what the edges of the file tell, and next to nothing of any hippocampus
    "hippocampus": Question("hippocampus", hippocampus_cases, HIPPOCAMPUS_CLASSES, (36, 48, 36), 8, 12),
}
BACKBONES = {
    "densenet121": Backbone({"init_features": 16, "growth_rate": 8, "block_config": [2, 4, 8, 4]}, 3e-3),
    "cnn3d": Backbone({"width": 8}, 3e-3),
    "resnet": Backbone({"depth": 10, "width": 16}, 3e-3),
    "residual_encoder": Backbone({"features": [4, 8, 16, 32, 64, 64], "blocks": [1, 1, 1, 1, 1, 1]}, 1e-3),
    "mst": Backbone({"width": 96, "layers": 4, "heads": 3, "image_size": 56, "slice_heads": 3}, 5e-4),
    "attention_mil": Backbone({"width": 8, "attention": 64}, 1e-3),
    "swin_unetr": Backbone({"width": 12, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2]}, 1e-3),
}


def write_job(folder: Path, question: str, backbone: str, head: str, epochs: int, seed: int) -> Job:
    """The job that is trained, pooled and by the three sites."""
    asked = QUESTIONS[question]
    network = {"name": backbone, **BACKBONES[backbone].sizes}
    least = TypeAdapter(backbones.Backbone).validate_python(network).least_size
    name = f"{question}_{backbone}_{head}"
    document = {
        "name": name,
        "description": f"{backbone} on the volumes of {question}",
        "pipeline": "odelia",
        "config": {
            "classes": list(asked.classes),
            "input_size": [max(pair) for pair in zip(asked.input_size, least, strict=True)],
            "backbone": network,
            "head": head,
            # both organs lie alike in all crops: a quarter turn would be of no patient
            "augmentation": {"rotation_degrees": 10, "noise_std": 0.1},
        },
        "training": {
            "local": {"epochs": 1},
            "batch_size": asked.batch_size,
            "optimizer": {"name": "adamw", "lr": BACKBONES[backbone].rate, "weight_decay": 0.01},
            "schedule": {"name": "cosine", "warmup": 0.1},
            "gradient_clip": 1.0,
            "seed": seed,
        },
        "workflow": {"name": "fedavg", "rounds": epochs},
        "selection": {"metric": "auroc_macro", "mode": "max"},
    }
    job = folder / name / "job.yml"
    job.parent.mkdir(parents=True, exist_ok=True)
    job.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_job(job)


def train(
    job: Job, classes: Sequence[str], sites: Sequence[Site], folder: Path, after_round: Callable[[], None]
) -> dict[str, Any]:
    """Train, and judge the model that was best on the validation cases on the test cases."""
    started = time.process_time()
    record = ReferenceRun(
        job, sites, folder, watch=lambda event: after_round() if event["event"] == "round" else None
    ).run()
    seconds = time.process_time() - started
    # every site holds the same test cases
    first = sites[0].name
    file = folder / "sites" / first / "predictions" / "test.csv"
    results = evaluate_predictions(file, first, FEDERATED, classes)
    auc = next(result for result in results if result.metric == "auroc_macro")
    return {
        "auc": auc.value,
        "low": auc.low,
        "high": auc.high,
        "test_cases": auc.support,
        "accuracy": record["test"][first]["accuracy"],
        "validation_auc": record["best"]["value"],
        "chosen_round": record["best"]["model"],
        "cpu_seconds": round(seconds, 1),
    }


def edges_auc(cases: Sequence[Case], size: Sequence[float]) -> float:
    """Macro AUC on the test cases of a logistic regression on the three edges of each file.

    `size` cuts the edges off, as the pipeline cuts the volumes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    split = np.array([case.split for case in cases])
    labels = np.array([case.label for case in cases])
    edges = np.minimum([nibabel.load(case.image).shape for case in cases], size)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(edges[split == "train"], labels[split == "train"])
    probabilities = model.predict_proba(edges[split == "test"])
    return float(roc_auc_score(labels[split == "test"], probabilities, multi_class="ovr"))


def show(results: Sequence[dict[str, Any]], edges: dict[str, float]) -> None:
    """Print a table for each data set, and what the crops' edges tell; s is CPU seconds."""
    for data in dict.fromkeys(row["data"] for row in results):
        rows = [row for row in results if row["data"] == data]
        title = f"{data}, {rows[0]['head']}: AUC on {rows[0]['test_cases']} test cases (95 % interval)"
        table = Table(title=title, box=SIMPLE)
        for column in ("backbone", "weights", POOLED, "s", FEDERATED, "s"):
            table.add_column(column, no_wrap=True)
        for backbone in dict.fromkeys(row["backbone"] for row in rows):
            of_backbone = [row for row in rows if row["backbone"] == backbone]
            cells = [cell for row in of_backbone for cell in (_auc(row), f"{row['cpu_seconds']:.0f}")]
            table.add_row(backbone, f"{of_backbone[0]['parameters'] / 1000:.0f} k", *cells)
        Console().print(table)
    for what, auc in edges.items():
        print(f"hippocampus, from the edges {what} alone: AUC {auc:.3f}")


def _auc(row: dict[str, Any]) -> str:
    return f"{row['auc']:.3f} ({row['low']:.2f}-{row['high']:.2f})"


def main() -> None:
    """Train every backbone on every data set, pooled and federated."""
    arguments = _arguments()
    results: list[dict[str, Any]] = []
    edges: dict[str, float] = {}
    rounds = {data: arguments.epochs or QUESTIONS[data].epochs for data in arguments.data}
    runs = [(data, backbone) for data in arguments.data for backbone in arguments.backbones]
    with (
        tempfile.TemporaryDirectory() as name,
        Progress(console=Console(stderr=True)) as progress,
    ):
        folder = Path(name)
        task = progress.add_task("write volumes", total=2 * sum(rounds[data] for data, _ in runs))
        for data in arguments.data:
            cases = QUESTIONS[data].read(arguments.folder / QUESTIONS[data].file)
            everything = write_pooled(folder / data, cases)
            write_sites(folder / data, cases, everything, [EVEN] * len(QUESTIONS[data].classes))
            if data == "hippocampus":
                sizes = {"of the file": (np.inf,) * 3, "left in the input": QUESTIONS[data].input_size}
                edges = {what: edges_auc(cases, size) for what, size in sizes.items()}
        for data, backbone in runs:
            job = write_job(folder, data, backbone, arguments.head, rounds[data], arguments.seed)
            parameters = sum(value.numel() for value in load_pipeline(job).model().parameters())
            for method, names in ((POOLED, (POOLED,)), (FEDERATED, SITES)):
                progress.update(task, description=f"{data}, {backbone}, {method}")
                sites = [Site(site, folder / data, folder / "scratch" / site) for site in names]
                run = folder / "runs" / f"{job.name}_{method}"
                trained = train(job, QUESTIONS[data].classes, sites, run, lambda: progress.advance(task))
                row = {"data": data, "backbone": backbone, "head": arguments.head, "method": method}
                results.append(row | {"parameters": parameters, "epochs": rounds[data]} | trained)
                progress.console.print(f"{data}, {backbone}, {method}: AUC {_auc(results[-1])}")
                if arguments.json:
                    document = {"seed": arguments.seed, "edges_auc": edges, "results": results}
                    arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    show(results, edges)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="holds adrenal/adrenalmnist3d.npz and hippocampus/"
    )
    for option, known in (("--data", QUESTIONS), ("--backbones", BACKBONES)):
        names = ",".join(known)
        parser.add_argument(option, default=names, help=f"separated by commas; default {names}")
    parser.add_argument("--head", default="softmax", choices=("softmax", "ordinal"))
    parser.add_argument(
        "--epochs", type=int, help="rounds of one epoch; default 6 for adrenal, 12 for hippocampus"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all results to this file")
    arguments = parser.parse_args()
    for option, known in (("data", QUESTIONS), ("backbones", BACKBONES)):
        chosen = getattr(arguments, option).split(",")
        if not set(chosen) <= set(known):
            parser.error(f"--{option} takes {', '.join(known)}")
        setattr(arguments, option, chosen)
    return arguments


if __name__ == "__main__":
    main()
