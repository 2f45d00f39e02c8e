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
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS, job_folders

INSTALLED = [folder for folder in job_folders() if not load_job(folder).ships_code]


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", INSTALLED, ids=lambda folder: folder.name)
def test_the_job_of_an_installed_pipeline_ships_no_code(folder: Path, tmp_path: Path) -> None:
    job = load_job(folder)
    built = build_job(job, tmp_path, 3, "run-1")
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
    assert workflow["args"] == {"job": job.name, "run_id": "run-1"}
    (entry,) = client["executors"]
    assert entry["executor"]["path"].startswith("mediswarm.flare.")
    assert entry["executor"]["args"] == {"job": job.name}


def test_a_pipeline_file_of_the_job_travels_as_custom_code(tmp_path: Path) -> None:
    job = load_job(JOBS / "minimal_training_pytorch_cnn")
    names = files_of(build_job(job, tmp_path, 3, "run-1"))
    assert f"app/custom/{job.name}/pipeline.py" in names
    assert f"app/custom/{job.name}/job.yml" in names
    assert not any(name.startswith(f"app/config/{job.name}") for name in names)


@pytest.mark.parametrize(("quorum", "clients"), [("all", 3), (2, 2)])
def test_nvflare_starts_with_the_start_quorum(
    quorum: Any, clients: int, make_job: Any, tmp_path: Path
) -> None:
    job = make_job(workflow={"name": "fedavg", "rounds": 1, "start_quorum": quorum})
    meta = json.loads((build_job(job, tmp_path / "built", 3, "run-1") / "meta.json").read_text())
    assert (meta["name"], meta["min_clients"]) == (job.name, clients)


@pytest.mark.parametrize("name", ["minimal_training_pytorch_cnn", "linear_transcriptome"])
def test_the_deployed_job_is_the_job(name: str, context: Any, tmp_path: Path) -> None:
    job = load_job(JOBS / name)
    for which in (job, job.varied(workflow={"name": "cyclic", "rounds": 7})):
        shutil.rmtree(tmp_path / "built", ignore_errors=True)
        shutil.rmtree(context.root, ignore_errors=True)
        shutil.copytree(
            build_job(which, tmp_path / "built", 3, "run-1") / "app", context.root / "job-1" / "app"
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
    shutil.copytree(build_job(job, tmp_path / "built", 3, "run-1") / "app", context.root / "job-1" / "app")
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
