"""A job in containers: server, three hospitals with synthetic data, segments of two rounds.

    python scripts/ci/pipeline_federation.py odelia_demo [--rounds 6] [--keep DIR]
    python scripts/ci/pipeline_federation.py STAMP_classification|STAMP_regression|STAMP_survival

Needs a Docker engine (scripts/ci/engine.sh starts one) and some minutes; not part of the tests. Every
hospital is a container with its own startup kit, its own data directory, and nothing of the others'.
Ends with the exit code of the run; `--keep` keeps its record and models.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.system.containers import SERVER, Containers  # noqa: E402 - the checkout is on the path now

from mediswarm.data.bags.synthetic_bags import write_synthetic_bags  # noqa: E402
from mediswarm.data.synthetic_odelia import write_synthetic_odelia  # noqa: E402
from mediswarm.provision.image_build import build_image  # noqa: E402
from mediswarm.provision.image_engine import docker_engine  # noqa: E402

BASE = "mediswarm/ci-base:bookworm"
WHEELS = Path.home() / ".cache" / "mediswarm" / "wheels"
JOBS = {
    "odelia_demo": ("odelia", write_synthetic_odelia),
    **{
        f"STAMP_{task}": ("stamp", write_synthetic_bags)
        for task in ("classification", "regression", "survival")
    },
}
"""The image that a job runs in, and what writes its data."""


def main() -> int:
    """Build, provision, start, run, and print what came of it; gives the run's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--keep", type=Path, metavar="DIR")
    options = parser.parse_args()

    subprocess.run([ROOT / "scripts/ci/base_image.sh", BASE], check=True)
    subprocess.run([ROOT / "scripts/ci/wheels.sh", WHEELS], check=True)
    image, write_data = JOBS[options.job]
    sites = ["site-1", "site-2", "site-3"]
    with docker_engine() as engine:
        built = build_image(engine, image, base=BASE, wheels=WHEELS)
        print(f"image {built.tag}: {built.bytes / 1e9:.2f} GB, built in {built.seconds:.0f} s")
        with Containers(engine, f"mediswarm/{image}@{built.id}", sites) as federation:
            write_data(federation.folder / "made")
            for site in sites:
                folder = federation.folder / "data" / site
                folder.mkdir(parents=True)
                shutil.move(federation.folder / "made" / site, folder / site)
            _write_job(federation.work / options.job, options.rounds)

            begun = time.monotonic()
            federation.start()
            print(f"{SERVER} and {', '.join(sites)} are healthy after {time.monotonic() - begun:.0f} s")
            begun = time.monotonic()
            ended = federation.operator("submit", options.job, "--follow", "--json", within=3600)
            print(ended.stderr)
            if ended.returncode:
                return ended.returncode
            record = json.loads(ended.stdout)
            folder = federation.fetch(record["run_id"])
            _print(record, time.monotonic() - begun)
            if options.keep:
                shutil.copytree(folder, options.keep)
    return 0


def _write_job(folder: Path, rounds: int) -> None:
    job = yaml.safe_load((ROOT / "application" / "jobs" / folder.name / "job.yml").read_text())
    job["workflow"] |= {"rounds": rounds, "segment_rounds": 2, "round_budget": 600}
    folder.mkdir()
    (folder / "job.yml").write_text(yaml.safe_dump(job))


def _print(record: dict[str, Any], seconds: float) -> None:
    metric = record["best"]["metric"]
    print(f"{record['job']}: {record['state']} after {seconds:.0f} s")
    for segment in record["segments"]:
        print(f"  segment {segment['segment']} from round {segment['first_round']}: {segment['state']}")
    for entry in record["rounds"]:
        sites, value = len(entry["contributed"]), record["scores"][str(entry["round"] + 1)][metric]
        print(f"  round {entry['round'] + 1}: {sites} sites, {entry['seconds']:.1f} s, {metric} {value:.3f}")
    for site, test in record["test"].items():
        cases = record["participants"][site]["cases"]["train"]
        print(f"  {site}: {cases} cases, test {metric} {test[metric]}")
    print(f"  best: {record['best']}")
    print(f"  images: {sorted({about['image'] for about in record['participants'].values()})}")


if __name__ == "__main__":
    sys.exit(main())
