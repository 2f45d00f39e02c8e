"""What federation costs: a run beside a bare training loop, in one go.

    python scripts/evaluation/bench_federation.py [--engine federation|simulator|nvflare]
        [--sizes 1,100] [--sites 3] [--precisions float32,float16] [--json FILE]

Models of 1 MB and 100 MB, 3 sites, 5 rounds of 20 steps. `federation` runs real nodes, each a
process with its startup kit, over mutual TLS on this machine; `simulator` NVFlare's simulator;
`nvflare` the same work on NVFlare as it comes, its own kits and FedAvg recipe, over mutual TLS.
The bare loop does the same work (load, validate, train, average) in one process, site after
site: once with one thread, which is what a site's training has here, and once with all cores.
On these few cores times vary from run to run; ratios within one run are what counts.

Bytes are those of the sites' TCP connections to the server, as the kernel counts them.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import torch
import yaml
from typing_extensions import Self

from mediswarm.flare.simulator import simulate
from mediswarm.pipelines.find import load_pipeline
from mediswarm.spec import Job, load_job

# the tests' harness of real processes; it is no part of the package
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

HERE = Path(__file__).parent / "bench_federation"
MODELS = {1: {"width": 256, "depth": 4}, 100: {"width": 1024, "depth": 25}}
MIB = 2**20


def main() -> None:
    """Measure each size and precision and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("federation", "simulator", "nvflare"), default="federation")
    parser.add_argument("--sizes", default="1,100", help="model sizes in MB, of 1 and 100")
    parser.add_argument("--precisions", default="float32,float16")
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures as JSON; - for standard output"
    )
    options = parser.parse_args()
    measure = {"federation": in_federation, "simulator": in_simulator, "nvflare": in_plain_nvflare}[
        options.engine
    ]
    rows = [
        measure(int(size), options.sites, precision)
        for size in options.sizes.split(",")
        for precision in options.precisions.split(",")
    ]
    if options.json == Path("-"):
        print(json.dumps(rows, indent=2))
        return
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


def in_simulator(megabytes: int, sites: int, precision: str) -> dict[str, Any]:
    """One run on the simulator and one bare loop of the same work."""
    with tempfile.TemporaryDirectory() as temporary:
        job = write_job(Path(temporary), megabytes, precision)
        bare = bare_loops(job, sites)
        names = [f"site-{index + 1}" for index in range(sites)]
        started = time.perf_counter()
        with Memory(Path(temporary)) as memory:
            record = simulate(job, names, Path(temporary) / "run")
        total = time.perf_counter() - started
        figures = times(record, Path(temporary) / "run", total, bare)
    named = {"engine": "simulator", "model_mb": megabytes, "precision": precision, "sites": sites}
    return named | figures | {"all_processes_peak_mib": memory.all // MIB}


def in_federation(megabytes: int, sites: int, precision: str) -> dict[str, Any]:
    """One run among real nodes over mutual TLS, and one bare loop of the same work."""
    from federation import Federation

    names = [f"site-{index + 1}" for index in range(sites)]
    with tempfile.TemporaryDirectory() as temporary:
        job = write_job(Path(temporary), megabytes, precision)
        bare = bare_loops(job, sites)
        with Federation(Path(temporary) / "federation", names) as federation:
            federation.start(within=600)
            started = time.perf_counter()
            with Memory(Path(temporary), "runner_process") as memory, Wire(federation) as wire:
                run = federation.submit(job.folder)
                record = federation.ended(run, within=1800)
            total = time.perf_counter() - started
            if record["state"] != "succeeded":
                sys.exit(f"the run has {record['state']}: {record['error']}")
            figures = times(record, federation.files.run(run), total, bare)
    model = model_bytes(job)
    named = {"engine": "federation", "model_mb": megabytes, "precision": precision, "sites": sites}
    return (
        named
        | figures
        | {
            "wire_mb_per_site_and_round": round(wire.per_site_and_round / 1e6, 2),
            "wire_over_model": round(wire.per_site_and_round / model, 3),
            "server_job_peak_mib": memory.one // MIB,
            "all_processes_peak_mib": memory.all // MIB,
        }
    )


def in_plain_nvflare(megabytes: int, sites: int, precision: str) -> dict[str, Any]:
    """One run on NVFlare without MediSwarm, and one bare loop of the same work."""
    from plain_nvflare import federation

    with tempfile.TemporaryDirectory() as temporary:
        bare = bare_loops(write_job(Path(temporary), megabytes, precision), sites)
        memory = Memory(Path(temporary), "runner_process")
        folder = Path(temporary) / "plain"
        folder.mkdir()
        figures = federation.run(folder, sites, **MODELS[megabytes], memory=memory)
    named = {"engine": "nvflare", "model_mb": megabytes, "precision": precision, "sites": sites}
    return (
        named
        | figures
        | bare
        | {
            "later_round_over_bare": round(figures["later_round_s"] / bare["bare_later_round_s"], 2),
            "server_job_peak_mib": memory.one // MIB,
            "all_processes_peak_mib": memory.all // MIB,
        }
    )


def write_job(folder: Path, megabytes: int, precision: str) -> Job:
    """The job with the model's size and the exchange's precision."""
    copy = folder / HERE.name
    shutil.copytree(HERE, copy)
    document = yaml.safe_load((copy / "job.yml").read_text())
    document["config"] |= MODELS[megabytes]
    document["exchange"] = {"precision": precision}
    (copy / "job.yml").write_text(yaml.safe_dump(document))
    return load_job(copy)


def times(record: dict[str, Any], folder: Path, total: float, bare: dict[str, float]) -> dict[str, float]:
    """Seconds of a run, as its record says and as a clock outside saw them."""
    with (folder / "contributions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    rounds = [entry["seconds"] for entry in record["rounds"]]
    at_work = [
        max(float(row["validate_s"]) + float(row["train_s"]) for row in rows if int(row["round"]) == index)
        for index in range(len(rounds))
    ]
    return {
        "rounds": len(rounds),
        "total_s": round(total, 2),
        "fixed_s": round(total - sum(rounds), 2),
        "round_s": round(statistics.mean(rounds), 3),
        "first_round_s": rounds[0],
        "later_round_s": round(statistics.mean(rounds[1:]), 3),
        "train_validate_s": round(statistics.mean(at_work), 3),
        **bare,
        "round_over_bare": round(statistics.mean(rounds) / bare["bare_round_s"], 2),
        "later_round_over_bare": round(statistics.mean(rounds[1:]) / bare["bare_later_round_s"], 2),
    }


def model_bytes(job: Job) -> int:
    """Bytes of the model in float32."""
    return sum(value.numel() * 4 for value in load_pipeline(job).model().state_dict().values())


def bare_loops(job: Job, sites: int) -> dict[str, float]:
    """Seconds of a round of the bare loop, with one thread and with all; the first takes longer.

    Each loop has a process of its own: its first round imports what a site's first round imports.
    """
    loops = []
    for threads in (1, torch.get_num_threads()):
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            loops.append(fresh.submit(bare_loop, job.folder, sites, threads).result())
    one, all_cores = loops
    return {
        "bare_round_s": round(statistics.mean(one), 3),
        "bare_later_round_s": round(statistics.mean(one[1:]), 3),
        "bare_all_cores_later_round_s": round(statistics.mean(all_cores[1:]), 3),
    }


def bare_loop(job_folder: Path, sites: int, threads: int) -> list[float]:
    """Seconds of each round of all sites, one after another, without any of MediSwarm's machinery."""
    torch.set_num_threads(threads)
    job = load_job(job_folder)
    pipeline = load_pipeline(job)
    torch.manual_seed(0)
    shared = pipeline.model().state_dict()
    models = [pipeline.model() for _ in range(sites)]
    inputs, targets = torch.randn(320, int(str(job.config["width"]))), torch.arange(320) % 2
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
    return seconds


class Sampler:
    """Samples in a thread of its own, ten times a second; a sample costs a millisecond or two."""

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            self.look()

    def look(self) -> None:
        """Take one sample."""
        raise NotImplementedError


class Memory(Sampler):
    """Peak resident memory of all processes of a run, and of any `one` of them with `word` in its command.

    Of the run are child processes, and those whose command names a path below `place`.
    """

    def __init__(self, place: Path, word: str = "") -> None:
        self.place, self.word, self.all, self.one = str(place), word, 0, 0
        self._children: list[tuple[psutil.Process, bool]] = []
        self._searched = -math.inf

    def look(self) -> None:
        if time.monotonic() > self._searched + 2:  # to look for new processes takes long
            self._children = list(self._search())
            self._searched = time.monotonic()
        total = 0
        for child, named in self._children:
            try:
                resident = child.memory_info().rss
            except psutil.Error:
                continue
            total += resident
            if named:
                self.one = max(self.one, resident)
        self.all = max(self.all, total)

    def _search(self) -> Iterator[tuple[psutil.Process, bool]]:
        children = set(psutil.Process().children(recursive=True))
        for process in psutil.process_iter():
            try:
                command = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if process in children or self.place in command:
                yield process, bool(self.word) and self.word in command


class Wire(Sampler):
    """Bytes on the sites' connections to the server, at the end of each round."""

    def __init__(self, federation: Any) -> None:
        self.federation = federation
        self.at_round_end: list[int] = []

    def look(self) -> None:
        runs = (self.federation.scratch("localhost") / "workspace" / "runs").glob("*/events.jsonl")
        ended = sum(file.read_text().count('"event": "round"') for file in runs)
        if len(self.at_round_end) < ended:
            self.at_round_end.extend([self._bytes()] * (ended - len(self.at_round_end)))

    def _bytes(self) -> int:
        said = subprocess.run(
            ["/usr/bin/ss", "-tinHO", "state", "established", f"( dport = :{self.federation.port} )"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return sum(int(count) for count in re.findall(r"bytes_(?:sent|received):(\d+)", said))

    @property
    def per_site_and_round(self) -> float:
        """Mean of the rounds after the first."""
        first, last = self.at_round_end[0], self.at_round_end[-1]
        return (last - first) / (len(self.at_round_end) - 1) / len(self.federation.sites)


if __name__ == "__main__":
    sys.exit(main())
