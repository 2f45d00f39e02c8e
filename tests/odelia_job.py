"""A small ODELIA job with data of two sites, for tests of whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import yaml

from mediswarm.data.synthetic_odelia import SyntheticSite, write_synthetic_odelia
from mediswarm.spec import Job, load_job
from mediswarm.spec.catalogue import JOBS


class OdeliaJob(Protocol):
    """`odelia_job(rounds=2, batch_norm="group")`: the job, whose config is changed so, and its data."""

    def __call__(self, rounds: int, **config: Any) -> tuple[Job, Path]: ...


def write_odelia_job(folder: Path, rounds: int, **config: Any) -> tuple[Job, Path]:
    """Write the demo's job with a smaller network, and sites `north` and `south` of other scanners."""
    write_synthetic_odelia(
        folder / "data",
        3,
        [
            SyntheticSite("north", (3, 2, 2), (1, 2, 1), (1, 1, 1), 0.3, 200.0),
            SyntheticSite("south", (2, 2, 3), (1, 1, 2), (1, 1, 1), 0.4, 700.0),
        ],
    )
    document = yaml.safe_load((JOBS / "odelia_demo" / "job.yml").read_text(encoding="utf-8"))
    document["config"] |= {"input_size": [16, 16, 8], "backbone": {"name": "cnn3d", "width": 4}} | config
    document["training"] |= {"local": {"epochs": 1}, "batch_size": 4}
    document["workflow"] = {"name": "fedavg", "rounds": rounds}
    (folder / "odelia_demo").mkdir()
    (folder / "odelia_demo" / "job.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_job(folder / "odelia_demo"), folder / "data"
