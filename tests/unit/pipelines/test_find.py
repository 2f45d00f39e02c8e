"""Pipelines are found by name: built in, installed, or as a file of the job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mediswarm.errors import PipelineError
from mediswarm.pipelines import BUILT_IN, Pipeline, load_pipeline
from mediswarm.pipelines.find import find_pipeline_class, pipeline_class_in_file
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS, job_folders

CODE = (JOBS / "minimal_training_pytorch_cnn" / "pipeline.py").read_text(encoding="utf-8")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a package with one entry point, as pip would leave it on the path."""

    def install(target: str, code: str = CODE) -> None:
        site_packages = tmp_path / "site-packages"
        about = site_packages / "acme_pipelines-1.0.dist-info"
        about.mkdir(parents=True)
        (site_packages / "acme_pipelines.py").write_text(code)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pipelines\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[mediswarm.pipelines]\nacme = {target}\n")
        monkeypatch.syspath_prepend(str(site_packages))
        monkeypatch.delitem(sys.modules, "acme_pipelines", raising=False)

    return install


def test_an_installed_pipeline_is_found_by_its_entry_point(install: Any, make_job: Any) -> None:
    install("acme_pipelines:Minimal")
    job = make_job(pipeline="acme")
    pipeline = load_pipeline(job)
    assert type(pipeline).__module__ == "acme_pipelines"
    assert not job.ships_code
    assert job.shipped_files == ()


def test_an_entry_point_that_is_no_pipeline(install: Any, make_job: Any) -> None:
    install("acme_pipelines:MinimalConfig")
    with pytest.raises(PipelineError, match="entry point 'acme' is not a Pipeline class") as caught:
        load_pipeline(make_job(pipeline="acme"))
    assert caught.value.code == "MS-P003"


@pytest.mark.parametrize("target", ["acme_pipelines:NoSuchClass", "no_such_module:Minimal"])
def test_an_entry_point_that_cannot_be_loaded(target: str, install: Any, make_job: Any) -> None:
    install(target)
    with pytest.raises(PipelineError, match="entry point 'acme'") as caught:
        load_pipeline(make_job(pipeline="acme"))
    assert caught.value.code == "MS-P002"


def test_an_unknown_name_lists_what_is_known(install: Any, make_job: Any) -> None:
    install("acme_pipelines:Minimal")
    with pytest.raises(PipelineError, match=r"known are acme, cifar10, linear, odelia, smoke") as caught:
        load_pipeline(make_job(pipeline="acne"))
    assert caught.value.code == "MS-P001"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("(1, 2)", "lists instead of tuples"),
        ("{1: 2}", "text keys"),
        ("{1, 2}", "must give JSON values"),
        ("torch", "must give JSON values"),
        ("float('nan')", "must give JSON values"),
    ],
)
def test_a_contract_that_is_not_plain_json_is_refused(value: str, message: str, make_job: Any) -> None:
    job = make_job(code=CODE.replace("[1, self.config.size, self.config.size]}", value + "}"))
    with pytest.raises(PipelineError, match=message) as caught:
        load_pipeline(job)
    assert (caught.value.code, caught.value.file) == ("MS-P003", str(job.folder / "pipeline.py"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_pipelines_are_whole(name: str) -> None:
    jobs = [job for job in map(load_job, job_folders()) if job.pipeline == name]
    assert jobs, f"no job shows pipeline {name}"
    assert not any(job.ships_code for job in jobs)
    found = find_pipeline_class(jobs[0])
    assert issubclass(found, Pipeline)
    assert found.__doc__


def test_two_jobs_may_have_a_pipeline_file_of_the_same_name(tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pipeline.py").write_text(CODE.replace("class Minimal(", f"class {name.title()}("))
        found.append(pipeline_class_in_file(tmp_path / name / "pipeline.py"))
    assert [kind.__name__ for kind in found] == ["First", "Second"]
    assert len({kind.__module__ for kind in found}) == 2


def test_importing_the_interface_is_cheap() -> None:
    heavy = ["monai", "pandas", "sklearn", "nibabel", "nvflare", "matplotlib", "rich", "torch._dynamo"]
    code = f"import sys, mediswarm.pipelines; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.strip() == "[]"
