"""Every pipeline that comes with MediSwarm keeps every rule of the interface."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mediswarm.data.synthetic_odelia import SyntheticSite, write_synthetic_odelia
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.preflight.pipeline_contract import RULES, check_pipeline
from mediswarm.spec import Job, load_job
from mediswarm.spec.catalogue import job_folders

SITES = ("north", "south")


def no_data(job: Job, folder: Path) -> None:
    """The pipeline makes its own."""


def write_cifar10(job: Job, folder: Path) -> None:
    random = np.random.default_rng(0)
    images = {
        split: random.integers(0, 256, (count, 32, 32, 3)) for split, count in (("train", 300), ("test", 60))
    }
    folder.mkdir()
    np.savez(
        folder / "cifar10.npz",
        **{f"{split}_x": values.astype(np.uint8) for split, values in images.items()},
        **{f"{split}_y": np.arange(len(values)) % 10 for split, values in images.items()},
    )


def write_odelia(job: Job, folder: Path) -> None:
    sites = [SyntheticSite(name, (3, 3, 3), (2, 2, 2), (2, 2, 2), 0.3, 100.0) for name in SITES]
    write_synthetic_odelia(folder, 0, sites)


def write_table(job: Job, folder: Path) -> None:
    """Values as the job's config declares them."""
    config: Any = job.config
    random = np.random.default_rng(1)

    def row() -> dict[str, Any]:
        values = {
            column["name"]: round(float(random.uniform(*column["range"])), 1)
            if column["type"] == "numeric"
            else random.choice(column["categories"])
            for column in config["columns"]
        }
        codes = [code for item in config["label"]["classes"] for code in item["codes"]]
        return values | {config["label"]["column"]: random.choice(codes)}

    write_csv(folder, config["file"], lambda index: row())


def write_expression(job: Job, folder: Path) -> None:
    config: Any = job.config
    genes = (job.folder / config["features"]).read_text().split()
    random = np.random.default_rng(2)
    low, high = config["range"]

    def row(index: int) -> dict[str, Any]:
        code = config["label"]["classes"][index % 2]["codes"][0]
        ids = {config["id"]: f"s{index}", config["patient"]: f"p{index}", config["label"]["column"]: code}
        return ids | {gene: round(float(random.uniform(low, high)), 3) for gene in genes}

    write_csv(folder, config["file"], row)


def write_csv(folder: Path, name: str, row: Callable[[int], dict[str, Any]], rows: int = 60) -> None:
    for site in SITES:
        (folder / site).mkdir(parents=True)
        with (folder / site / name).open("w", newline="") as stream:
            table = [row(index) for index in range(rows)]
            writer = csv.DictWriter(stream, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


WRITERS: dict[str, Callable[[Job, Path], None]] = {
    "./pipeline.py": no_data,
    "smoke": no_data,
    "cifar10": write_cifar10,
    "odelia": write_odelia,
    "tabular": write_table,
    "linear": write_expression,
}


# full-sized networks: unit/pipelines/test_odelia_backbones.py and test_stamp.py train them small
SMALL_JOBS = [folder for folder in job_folders() if not folder.name.startswith(("ODELIA_", "STAMP_"))]


@pytest.mark.parametrize("folder", SMALL_JOBS, ids=lambda folder: folder.name)
def test_the_pipeline_of_every_shipped_job_keeps_every_rule(folder: Path, tmp_path: Path) -> None:
    job = load_job(folder)
    data = tmp_path / "data"
    WRITERS[job.pipeline](job, data)
    data_dir = data if data.exists() else None
    findings = check_pipeline(job, data_dir)
    assert [finding for finding in findings if finding.status != "PASS"] == []
    assert [finding.subject for finding in findings] == list(RULES)
    pipeline = load_pipeline(job)
    checked = pipeline.check(Site(pipeline.sites(data_dir)[0], data_dir))
    assert checked
    assert [finding for finding in checked if finding.status == "FAIL"] == []
