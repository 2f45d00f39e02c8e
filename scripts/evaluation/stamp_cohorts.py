"""Three synthetic pathology sites, unequal in size and in classes: local, pooled and federated training.

A synthetic cohort, smaller and therefore harder than that of `mediswarm stamp synthesise`, is divided by
patient once. Every site holds its own training and validation patients and the test patients of all
sites, so that all methods are judged on the same ones. Methods are the shipped jobs STAMP_… with a
network that a CPU trains in minutes, and the same number of rounds of one epoch; federated ones go
through NVFlare's simulator. The interval is of the pooled model: 1,000 resamples of the test patients.

    python scripts/evaluation/stamp_cohorts.py --tasks classification,survival,regression --seeds 0,1,2
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mediswarm.aggregation.reference import ReferenceRun, local_variant
from mediswarm.data.bags.patient_splits import PatientSplit, draw_split, keep_splits
from mediswarm.data.bags.synthetic_bags import SyntheticBagSite, write_synthetic_bags
from mediswarm.data.splits import SPLITS
from mediswarm.flare.simulator import simulate
from mediswarm.pipelines import Pipeline, Site, load_pipeline
from mediswarm.spec import FedAvg, Job, Swarm, load_job
from mediswarm.spec.catalogue import JOBS

POOLED = "pooled"
POOLED_RISK_SET = "fedavg, risk set of all sites"
RESAMPLES = 1000
COHORT = (
    SyntheticBagSite("site-1", (60, 48, 20), shift=1.0, gain=1.0),
    SyntheticBagSite("site-2", (24, 44, 14), shift=2.0, gain=1.2),
    SyntheticBagSite("site-3", (34, 12, 8), shift=1.5, gain=0.9),
)
FRACTIONS = (0.40, 0.20, 0.40)
NETWORK = {"name": "vit", "width": 64, "heads": 4, "hidden": 64}

Row = dict[str, str]


def read(file: Path) -> list[Row]:
    """The rows of a table."""
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_layout(folder: Path) -> tuple[str, ...]:
    """Write ``<folder>/<site>`` and ``<folder>/pooled``, with the test patients of all sites in each.

    Returns:
        names of the sites.
    """
    whole = folder / "whole"
    write_synthetic_bags(whole, sites=COHORT)
    sites = tuple(sorted(place.name for place in whole.iterdir()))
    clinical = {site: read(whole / site / "clini.csv") for site in sites}
    slides = {site: read(whole / site / "slide.csv") for site in sites}
    drawn = {
        site: draw_split({row["PATIENT"]: row["SUBTYPE"] for row in rows}, 0, FRACTIONS)
        for site, rows in clinical.items()
    }
    tested = tuple(uid for split in drawn.values() for uid in split.test)
    drawn[POOLED] = PatientSplit(
        *(tuple(uid for site in sites for uid in getattr(drawn[site], name)) for name in SPLITS)
    )
    for name, split in drawn.items():
        place = folder / name
        (place / "features").mkdir(parents=True)
        keep_splits(place / "split.csv", [PatientSplit(split.train, split.val, tested)])
        known = {*split.train, *split.val, *tested}
        for table, rows in (("clini", clinical), ("slide", slides)):
            kept = [row for site in sites for row in rows[site] if row["PATIENT"] in known]
            with (place / f"{table}.csv").open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, list(kept[0]))
                writer.writeheader()
                writer.writerows(kept)
        for site in sites:
            for row in slides[site]:
                if row["PATIENT"] in known:
                    (place / "features" / row["FILENAME"]).symlink_to(
                        whole / site / "features" / row["FILENAME"]
                    )
    return sites


def job_for(task: str, seed: int, rounds: int) -> Job:
    """The shipped job with the smaller network."""
    job = load_job(JOBS / f"STAMP_{task}")
    config = job.config | {"model": NETWORK, "bag_size": 128, "splits": {"table": "split"}}
    training = job.training.model_copy(
        update={"seed": seed, "optimizer": job.training.optimizer.model_copy(update={"lr": 1e-3})}
    )
    return job.varied(
        config=config, training=training, workflow=job.workflow.model_copy(update={"rounds": rounds})
    )


def methods(job: Job, sites: tuple[str, ...]) -> dict[str, tuple[Job, tuple[str, ...]]]:
    """The job of each method, and who trains it."""
    averaging = job.workflow.model_dump(include={"rounds", "weights"})
    federated = {
        "fedavg": job.varied(workflow=FedAvg(**averaging)),
        "fedprox": job.varied(workflow=FedAvg(**averaging, proximal_mu=0.1)),
        "swarm": job.varied(workflow=Swarm(**averaging)),
    }
    task: Any = job.config["task"]
    if task["name"] == "survival":
        config = job.config | {"task": task | {"risk_set": "federation"}}
        workflow = FedAvg(rounds=job.workflow.rounds)
        federated[POOLED_RISK_SET] = job.varied(config=config, workflow=workflow)
    return {
        **{f"local, {site}": (local_variant(job), (site,)) for site in sites},
        POOLED: (local_variant(job), (POOLED,)),
        **{name: (variant, sites) for name, variant in federated.items()},
    }


def tested_by(job: Job, sites: tuple[str, ...], data: Path, folder: Path) -> list[Row]:
    """Train, and the predictions of the best model for all test patients."""
    if len(sites) == 1:
        ReferenceRun(job, [Site(sites[0], data)], folder).run()
    else:
        simulate(job, list(sites), folder, data)
    return read(folder / "sites" / sites[0] / "predictions" / "test.csv")


def judge(pipeline: Pipeline[Any], rows: list[Row], metric: str) -> float:
    """The metric of predictions as read from a file."""
    columns = [pipeline.prediction_columns(), pipeline.target_columns()]
    predictions, targets = (
        torch.tensor([[float(row[name]) for name in names] for row in rows]) for names in columns
    )
    value = pipeline.metrics(pipeline.count(predictions, targets))[metric]
    return float("nan") if value is None else value


def interval(pipeline: Pipeline[Any], rows: list[Row], metric: str) -> tuple[float, float]:
    """95 % percentile interval over resampled patients."""
    generator = np.random.default_rng(0)
    values = [
        judge(pipeline, [rows[i] for i in generator.integers(len(rows), size=len(rows))], metric)
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def show(results: list[dict[str, Any]]) -> None:
    """Print mean and range over the seeds."""
    table = Table(title="synthetic cohort, test patients of all sites: mean over the seeds")
    for column in ("task", "metric", "method", "mean", "range", "pooled interval (mean of ends)"):
        table.add_column(column, no_wrap=True)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in results:
        groups.setdefault((row["task"], row["metric"], row["method"]), []).append(row)
    for group, rows in groups.items():
        values = [row["value"] for row in rows]
        ends = (
            [statistics.fmean(row["interval"][end] for row in rows) for end in (0, 1)]
            if group[2] == POOLED
            else []
        )
        shown = f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
        table.add_row(
            *group, f"{statistics.fmean(values):.3f}", f"{min(values):.3f}-{max(values):.3f}", shown
        )
    Console(width=120).print(table)


def main() -> None:
    """Train every method with every seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default="classification,survival,regression", help="separated by commas")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of one epoch")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sites = write_layout(folder / "data")
        for task in arguments.tasks.split(","):
            for seed in map(int, arguments.seeds.split(",")):
                job = job_for(task, seed, arguments.rounds)
                pipeline, metric = load_pipeline(job), job.selection.metric
                for method, (variant, who) in methods(job, sites).items():
                    started = time.perf_counter()
                    rows = tested_by(
                        variant, who, folder / "data", folder / "runs" / f"{task}-{seed}-{len(results)}"
                    )
                    result = {"task": task, "metric": metric, "method": method, "seed": seed}
                    result |= {"value": judge(pipeline, rows, metric), "patients": len(rows)}
                    if method == POOLED:
                        result["interval"] = interval(pipeline, rows, metric)
                    results.append(result | {"seconds": round(time.perf_counter() - started, 1)})
                    print(results[-1], flush=True)
                    if arguments.json:
                        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
