"""What is deployed: configuration alone for an installed pipeline; code only where policy sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediswarm.errors import JobError
from mediswarm.flare.build_job import build_job
from mediswarm.flare.job_folder import deployed_job
from mediswarm.flare.segment import Segment
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS, job_folders

SEGMENT = Segment(2, 5, ("aachen", "berlin"))
INSTALLED = [folder for folder in job_folders() if not load_job(folder).ships_code]


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", INSTALLED, ids=lambda folder: folder.name)
def test_the_job_of_an_installed_pipeline_ships_no_code(folder: Path, tmp_path: Path) -> None:
    job = load_job(folder)
    built = build_job(job, tmp_path, "run-1", SEGMENT)
    assert not list(built.rglob("custom"))
    names = files_of(built)
    assert {Path(name).suffix for name in names} <= {".json", ".yml", ".txt"}
    for shipped in ("job.yml", *job.shipped_files):
        assert f"app/config/{job.name}/{shipped}" in names
    # the components are named by path in the installed package, and take names alone
    server, client = (
        json.loads((built / "app" / "config" / f"config_fed_{side}.json").read_text())
        for side in ("server", "client")
    )
    (workflow,) = server["workflows"]
    assert workflow["path"].startswith("mediswarm.flare.")
    assert workflow["args"] == {
        "job": job.name,
        "run_id": "run-1",
        "segment": 2,
        "rounds": 5,
        "sites": ["aachen", "berlin"],
    }
    (entry,) = client["executors"]
    assert entry["executor"]["path"].startswith("mediswarm.flare.")
    assert entry["executor"]["args"] == {"job": job.name, "run_id": "run-1"}


def test_a_pipeline_file_of_the_job_travels_as_custom_code(tmp_path: Path) -> None:
    job = load_job(JOBS / "minimal_training_pytorch_cnn")
    names = files_of(build_job(job, tmp_path, "run-1", SEGMENT))
    assert f"app/custom/{job.name}/pipeline.py" in names
    assert f"app/custom/{job.name}/job.yml" in names
    assert not any(name.startswith(f"app/config/{job.name}") for name in names)


def test_a_segment_goes_to_its_sites_and_leaves_quorums_to_the_controller(
    make_job: Any, tmp_path: Path
) -> None:
    job = make_job(workflow={"name": "fedavg", "rounds": 1, "start_quorum": 2, "round_budget": 90})
    built = build_job(job, tmp_path / "built", "run-1", SEGMENT)
    meta = json.loads((built / "meta.json").read_text())
    assert (meta["name"], meta["min_clients"]) == ("run-1-2", 1)
    assert meta["deploy_map"] == {"app": ["server", "aachen", "berlin"]}
    for side in ("server", "client"):
        config = json.loads((built / "app" / "config" / f"config_fed_{side}.json").read_text())
        patience = {key: value for key, value in config.items() if key.endswith("_timeout")}
        assert patience
        assert set(patience.values()) == {90.0}


@pytest.mark.parametrize("name", ["minimal_training_pytorch_cnn", "linear_transcriptome"])
def test_the_deployed_job_is_the_job(name: str, context: Any, tmp_path: Path) -> None:
    job = load_job(JOBS / name)
    for which in (job, job.varied(workflow={"name": "cyclic", "rounds": 7})):
        shutil.rmtree(tmp_path / "built", ignore_errors=True)
        shutil.rmtree(context.root, ignore_errors=True)
        shutil.copytree(
            build_job(which, tmp_path / "built", "run-1", SEGMENT) / "app", context.root / "job-1" / "app"
        )
        found = deployed_job(context, name)
        assert (found.hash, found.workflow) == (which.hash, which.workflow)


def test_code_outside_custom_is_refused(context: Any) -> None:
    name = "minimal_training_pytorch_cnn"
    smuggled = context.root / "job-1" / "app" / "config" / name
    shutil.copytree(JOBS / name, smuggled)
    with pytest.raises(JobError, match="past the site's policy on job code") as caught:
        deployed_job(context, name)
    assert (caught.value.code, caught.value.file) == ("MS-J012", str(smuggled))
    assert caught.value.repair


def test_a_changed_job_file_has_another_hash(context: Any, tmp_path: Path) -> None:
    job = load_job(JOBS / "linear_transcriptome")
    shutil.copytree(
        build_job(job, tmp_path / "built", "run-1", SEGMENT) / "app", context.root / "job-1" / "app"
    )
    deployed = context.root / "job-1" / "app" / "config" / job.name
    document = yaml.safe_load((deployed / "job.yml").read_text())
    document["workflow"]["rounds"] += 1
    (deployed / "job.yml").write_text(yaml.safe_dump(document))
    assert deployed_job(context, job.name).hash != job.hash
    shutil.copyfile(job.folder / "job.yml", deployed / "job.yml")
    assert deployed_job(context, job.name).hash == job.hash
    with (deployed / "genes.txt").open("a") as stream:
        stream.write("GENE999\n")
    assert deployed_job(context, job.name).hash != job.hash
