"""Seconds and memory of each network of the `stamp` pipeline on a patient with 50,000 tiles.

Two patients train, one is judged whole, each with 50,000 tiles of 1,536 features in one HDF5 file.
For each network a new process does what a site does: it reads the tables, trains one epoch (bags of
512 tiles, drawn anew) and judges the validation patient. Memory is the process's greatest resident
size from its start, files that are mapped included; beside it that of the same process before there is a
network. The shipped job's network sizes; one thread unless OMP_NUM_THREADS says otherwise.

    python scripts/evaluation/bench_bag_networks.py
    python scripts/evaluation/bench_bag_networks.py --tiles 5000 --networks "vit;abmil"
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

NETWORKS: dict[str, dict[str, Any]] = {
    "vit": {"name": "vit"},
    "vit, alibi": {"name": "vit", "alibi": True},
    **{name: {"name": name} for name in ("trans_mil", "barspoon", "abmil", "clam", "mlp", "linear")},
}
SPLITS = {"train-1": "train", "train-2": "train", "judged": "val"}


def write_site(folder: Path, tiles: int, features: int) -> None:
    """Three patients of one slide each, and the tables of a site."""
    from mediswarm.data.bags.feature_writer import write_features

    (folder / "features").mkdir(parents=True)
    width = int(np.ceil(np.sqrt(tiles)))
    coords = 256.0 * np.stack(np.divmod(np.arange(tiles), width), axis=1).astype(np.float32)
    rows: dict[str, list[str]] = {
        "clini": ["PATIENT,SUBTYPE"],
        "slide": ["PATIENT,FILENAME"],
        "split": ["PATIENT,Split,Fold"],
    }
    for number, (patient, split) in enumerate(SPLITS.items()):
        numbers = np.random.default_rng(number).standard_normal((tiles, features), np.float32)
        file = folder / "features" / f"{patient}.h5"
        write_features(file, numbers.astype(np.float16), coords, extractor="synthetic")
        rows["clini"].append(f"{patient},{'ab'[number % 2]}")
        rows["slide"].append(f"{patient},{patient}.h5")
        rows["split"].append(f"{patient},{split},0")
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(data: Path, network: dict[str, Any], features: int) -> dict[str, float]:
    """Train and judge in this process."""
    from mediswarm.pipelines import RoundPlan, Site
    from mediswarm.pipelines.stamp import Stamp
    from mediswarm.spec import Training
    from mediswarm.training.torch_learner import TorchLearner

    config = {
        "task": {"name": "classification", "label": "SUBTYPE", "categories": ["a", "b"]},
        "features": {"extractor": "synthetic", "dimension": features},
        "model": network,
        "splits": {"table": "split"},
    }
    pipeline = Stamp(Stamp.Config.model_validate(config))
    cases = pipeline.data(Site("site", data, data / "scratch"))
    pipeline.agree(pipeline.statistics(cases))
    before = resident()
    learner = TorchLearner(pipeline, cases, Training.model_validate({"batch_size": 2}))
    started = time.perf_counter()
    learner.train(RoundPlan(round=0, rounds=1, seed=0))
    trained = time.perf_counter()
    learner.predict(cases.validation)
    judged = time.perf_counter()
    return {
        "train_s": trained - started,
        "judge_s": judged - trained,
        "peak_gib": resident(),
        "without_network_gib": before,
    }


def resident() -> float:
    """Greatest resident size so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure each network in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=1536)
    parser.add_argument("--networks", default=";".join(NETWORKS), help="separated by semicolons")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data:
        print(json.dumps(measure(options.data, NETWORKS[options.networks], options.features)))
        return
    table = Table("network", "train, s", "judge, s", "peak, GiB", "of it without a network, GiB")
    with tempfile.TemporaryDirectory() as name:
        write_site(Path(name) / "site", options.tiles, options.features)
        for network in options.networks.split(";"):
            command = [sys.executable, __file__, "--data", name, "--networks", network]
            said = subprocess.run(
                [*command, "--features", str(options.features)],
                env={"OMP_NUM_THREADS": "1", **os.environ},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
            row = json.loads(said.splitlines()[-1])
            print(network, row, file=sys.stderr, flush=True)
            table.add_row(network, *(f"{value:.2f}" for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
