"""What of a job goes into the NVFlare job."""

from __future__ import annotations

from pathlib import Path

import mediswarm
from mediswarm.flare.build_job import build_job
from mediswarm.spec import FedAvg, load_job

JOB = Path(mediswarm.__file__).parents[1] / "jobs" / "linear_transcriptome"


def written(target: Path) -> list[Path]:
    return sorted(path.parent for path in target.rglob("job.yml"))


def test_a_job_travels_as_its_author_wrote_it_with_its_files(tmp_path):
    folders = written(build_job(load_job(JOB), tmp_path, sites=3))
    assert folders
    for folder in folders:
        assert (folder / "job.yml").read_text() == (JOB / "job.yml").read_text()
        assert (folder / "genes.txt").read_text() == (JOB / "genes.txt").read_text()


def test_a_varied_job_travels_as_varied(tmp_path):
    """R18: what is trained is the job that was given, not the file that it once came from."""
    varied = load_job(JOB).varied(workflow=FedAvg(rounds=7))
    for folder in written(build_job(varied, tmp_path, sites=3)):
        assert load_job(folder).hash == varied.hash
        assert load_job(folder).workflow.rounds == 7
