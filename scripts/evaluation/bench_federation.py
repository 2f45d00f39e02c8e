"""What federation costs: simulator runs beside a bare training loop, in one go.

    python scripts/evaluation/bench_federation.py [--sizes 1,100] [--sites 3] [--json FILE]

Models of 1 MB and 100 MB, 3 sites, 5 rounds of 20 steps. The bare loop does the
same work (load, validate, train, average) in one process, site after site. On
these few cores times vary from run to run; ratios within one run are what counts.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from typing_extensions import Self

from mediswarm.flare.simulator import simulate
from mediswarm.pipelines.find import load_pipeline
from mediswarm.spec import Job, load_job

HERE = Path(__file__).parent / "bench_federation"
MODELS = {1: {"width": 256, "depth": 4}, 100: {"width": 1024, "depth": 25}}


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1,100", help="model sizes in MB, of 1 and 100")
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures as JSON; - for standard output"
    )
    options = parser.parse_args()
    rows = [measure(int(size), options.sites) for size in options.sizes.split(",")]
    if options.json == Path("-"):
        print(json.dumps(rows, indent=2))
        return
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


def measure(megabytes: int, sites: int) -> dict[str, Any]:
    """One simulator run and one bare loop of the same work."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / HERE.name
        shutil.copytree(HERE, folder)
        job = load_job(folder).varied(config=MODELS[megabytes])
        write_config(folder, MODELS[megabytes])
        bare = bare_loop(job, sites)
        names = [f"site-{index + 1}" for index in range(sites)]
        started = time.perf_counter()
        with Memory() as memory:
            record = simulate(load_job(folder), names, Path(temporary) / "run")
        total = time.perf_counter() - started
        with (Path(temporary) / "run" / "contributions.csv").open() as stream:
            rows = list(csv.DictReader(stream))
    rounds = [entry["seconds"] for entry in record["rounds"]]
    at_work = [
        max(float(row["validate_s"]) + float(row["train_s"]) for row in rows if int(row["round"]) == index)
        for index in range(len(rounds))
    ]
    return {
        "model_mb": megabytes,
        "sites": sites,
        "rounds": len(rounds),
        "total_s": round(total, 2),
        "fixed_s": round(total - sum(rounds), 2),
        "round_s": round(statistics.mean(rounds), 3),
        "first_round_s": rounds[0],
        "train_validate_s": round(statistics.mean(at_work), 3),
        "bare_round_s": round(bare, 3),
        "round_over_bare": round(statistics.mean(rounds) / bare, 2),
        "peak_gib": round(memory.peak / 2**30, 2),
    }


def write_config(folder: Path, config: dict[str, int]) -> None:
    """Put the model's size into the copied job."""
    text = (folder / "job.yml").read_text()
    (folder / "job.yml").write_text(text.replace("{width: 256, depth: 4}", json.dumps(config)))


def bare_loop(job: Job, sites: int) -> float:
    """Mean seconds of a round of all sites, one after another, without any of MediSwarm's machinery."""
    pipeline = load_pipeline(job)
    torch.manual_seed(0)
    shared = pipeline.model().state_dict()
    models = [pipeline.model() for _ in range(sites)]
    inputs, targets = torch.randn(320, job.config["width"]), torch.arange(320) % 2
    seconds = []
    for _ in range(job.workflow.rounds):
        started = time.perf_counter()
        for model in models:
            model.load_state_dict(shared)
            with torch.inference_mode():
                model(inputs[:32]).argmax(1).eq(targets[:32]).float().mean()
            optimizer = torch.optim.SGD(model.parameters(), lr=job.training.optimizer.lr)
            for step in range(20):
                batch = slice(step * 16, step * 16 + 16)
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
                optimizer.step()
        states = [model.state_dict() for model in models]
        shared = {name: sum(state[name] for state in states) / sites for name in shared}
        seconds.append(time.perf_counter() - started)
    return statistics.mean(seconds)


class Memory:
    """Peak of the summed resident memory of all child processes, sampled ten times a second."""

    def __enter__(self) -> Self:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.1):
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)


if __name__ == "__main__":
    sys.exit(main())
