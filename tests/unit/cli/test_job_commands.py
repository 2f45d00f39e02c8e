"""`mediswarm job …`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediswarm.cli.job import kept_figures
from mediswarm.pipelines import load_pipeline
from mediswarm.spec import Job, load_job
from mediswarm.spec.catalogue import JOBS, job_folders
from mediswarm.training import footprint
from mediswarm.training.kept_figures import StepEstimate

NAME = "minimal_training_pytorch_cnn"


def test_validate(mediswarm: Any) -> None:
    job = load_job(JOBS / NAME)
    for argument in (NAME, JOBS / NAME, JOBS / NAME / "job.yml"):
        ended = mediswarm("job", "validate", argument)
        assert (ended.code, ended.out) == (0, f"{NAME} is valid\nhash {job.hash}\n")
    assert mediswarm("job", "validate", NAME, "--json").json == {
        "name": NAME,
        "hash": job.hash,
        "valid": True,
    }


def test_show_fills_in_every_default_and_says_what_is_exchanged(mediswarm: Any) -> None:
    job = load_job(JOBS / NAME)
    said = mediswarm("job", "show", NAME, "--json").json
    assert said["job"]["training"]["schedule"]["name"] == "constant"
    assert said["job"]["config"] == {"cases": 120, "size": 16, "channels": 8}
    assert said["about"]["hash"] == job.hash
    assert said["about"]["ships_code"] is True
    assert said["about"]["contract"]["classes"] == ["empty", "left", "right"]
    assert "auroc_macro" in said["about"]["metrics"]

    ended = mediswarm("job", "show", NAME)
    document, about = ended.out.split("# derived")
    assert yaml.safe_load(document) == said["job"]
    assert yaml.safe_load(about) == said["about"]


def test_list_names_every_job_with_its_question(mediswarm: Any) -> None:
    rows = mediswarm("job", "list", "--json").json
    assert [row["name"] for row in rows] == [folder.name for folder in job_folders()]
    assert all(row["description"] and row["pipeline"] and row["workflow"] for row in rows)
    sizes = {row["name"]: (row["parameters"], row["weight_bytes"]) for row in rows}
    assert sizes[NAME] == (1179, 4 * 1179)
    # two more numbers for each of 8 + 16 + 32 + 64 batch-normalised features, and four counters of 8 bytes
    parameters, weight_bytes = sizes["odelia_demo"]
    assert weight_bytes == 4 * parameters + 4 * 2 * 120 + 8 * 4


def test_the_list_is_readable_on_a_narrow_terminal(mediswarm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = {row["name"]: row for row in mediswarm("job", "list", "--json").json}
    ended = mediswarm("job", "list")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= 80
    text, _, footer = ended.out.partition(f"\n{len(rows)} jobs without ")
    assert " ".join(footer.split()).startswith("figures of a training step: `mediswarm job estimate JOB`")
    blocks = [block.rstrip() for block in re.split(r"\n(?! )", text)]
    assert [block.splitlines()[0] for block in blocks] == list(rows)
    for block in blocks:
        name, facts, *question = block.splitlines()
        row = rows[name]
        size = f"{row['parameters']:,} parameters" if row["parameters"] else "cannot be built on this machine"
        assert facts.startswith(f"  {row['pipeline']}, {row['workflow']} × {row['rounds']} round")
        assert size in facts
        assert all(line.startswith("  ") for line in question)
        assert " ".join(" ".join(question).split()) == row["description"]


def test_the_list_does_not_count_again_what_it_counted(
    mediswarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mediswarm("job", "list", "--json").json

    def again(pipeline: Any) -> None:
        counted.append(pipeline)

    counted: list[Any] = []
    monkeypatch.setattr("mediswarm.training.footprint.model_size", again)
    assert mediswarm("job", "list", "--json").json == first
    # what this machine cannot build is tried again
    assert len(counted) == sum(row["parameters"] is None for row in first)


def test_estimate_measures_a_step_without_data(mediswarm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said = mediswarm("job", "estimate", NAME, "--json").json
    assert said["name"] == NAME
    assert said["model"] == {"parameters": 1179, "bytes": 4 * 1179}
    assert said["step"]["device"] == "cpu"
    assert 0 < said["step"]["seconds_per_case"] < 10
    # kept for the list
    (row,) = (row for row in mediswarm("job", "list", "--json").json if row["name"] == NAME)
    assert row["steps"] == [said["step"]]
    monkeypatch.setenv("COLUMNS", "80")
    block = mediswarm("job", "list").out.partition(f"{NAME}\n")[2].partition("\nodelia_demo")[0]
    shown = " ".join(block.split())
    assert f"{said['step']['seconds_per_case']:.3g} s per training case" in shown
    assert f"{said['step']['peak_bytes'] / 2**30:.2f} GiB" in shown
    assert said["step"]["measured"] in shown


@pytest.fixture
def measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process: its errors and figures are those of one of its own, which takes seconds."""

    def measure(job: Job, device: str) -> StepEstimate:
        return footprint.estimate_step(job, load_pipeline(job), device)

    monkeypatch.setattr(footprint, "measure_step", measure)


@pytest.mark.usefixtures("measured_here")
def test_estimate_in_words(mediswarm: Any) -> None:
    ended = mediswarm("job", "estimate", NAME)
    assert ended.out.startswith(f"{NAME}\n  1,179 parameters")
    assert "s per training case" in ended.out
    ended = mediswarm("job", "estimate", "tabular_heart_disease")
    assert (ended.code, ended.out) == (3, "")
    assert "error[MS-P005]" in ended.err
    for wrong in ((), (NAME, "--all")):
        ended = mediswarm("job", "estimate", *wrong)
        assert (ended.code, "error[MS-U004]" in ended.err) == (2, True)


@pytest.mark.usefixtures("measured_here")
def test_estimates_of_all_jobs_go_on_after_one_that_cannot_be(
    mediswarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("linear_transcriptome", NAME)
    monkeypatch.setattr("mediswarm.cli.job.job_folders", lambda: [JOBS / name for name in names])
    ended = mediswarm("job", "estimate", "--all", "--json")
    assert (ended.code, ended.err) == (0, "")
    refused, measured = ended.json
    assert (refused["name"], refused["error"]["code"]) == (names[0], "MS-P005")
    assert measured["step"]["seconds_per_case"] > 0
    ended = mediswarm("job", "estimate", "--all")
    assert ended.code == 0
    assert f"{names[0]}\n  error[MS-P005]" in ended.out
    assert "s per training case" in ended.out.partition(NAME)[2]


@pytest.mark.usefixtures("measured_here")
def test_figures_that_cannot_be_kept_are_shown_and_it_is_said(mediswarm: Any, tmp_path: Path) -> None:
    (tmp_path / ".cache").write_text("")
    ended = mediswarm("job", "estimate", NAME)
    assert (ended.code, "s per training case" in ended.out) == (0, True)
    assert "the figures are not kept" in ended.err


def test_a_new_job_passes_its_own_test(mediswarm: Any, tmp_path: Path) -> None:
    ended = mediswarm("job", "new", "my_job", "--into", tmp_path / "jobs")
    folder = tmp_path / "jobs" / "my_job"
    assert ended.code == 0
    assert f"mediswarm job test {folder}" in ended.out
    assert {path.name for path in folder.iterdir()} == {"job.yml", "pipeline.py", "README.md"}
    assert load_job(folder).name == "my_job"
    assert NAME not in (folder / "job.yml").read_text()

    ended = mediswarm("job", "test", folder)
    assert (ended.code, ended.out.count("FAIL")) == (0, 0)
    said = mediswarm("job", "test", folder, "--site", "site-2", "--json").json
    assert said["status"] == "PASS"
    assert {finding["subject"] for finding in said["findings"]} >= {
        "data contract",
        "model",
        "a federated round",
    }


@pytest.mark.parametrize(
    ("name", "code"), [("my job", "MS-U004"), ("1st", "MS-U004"), ("../up", "MS-U004"), ("taken", "MS-U003")]
)
def test_a_new_job_that_cannot_be(name: str, code: str, mediswarm: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    ended = mediswarm("job", "new", name)
    assert ended.code == 2
    assert f"error[{code}]" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_pipeline_that_breaks_a_rule_fails_the_contract_test(mediswarm: Any, tmp_path: Path) -> None:
    mediswarm("job", "new", "broken")
    code = tmp_path / "broken" / "pipeline.py"
    text = code.read_text().replace("import zlib\n", "import time\nimport zlib\n")
    code.write_text(text.replace('| {"input_shape"', '| {"when": time.time_ns(), "input_shape"'))
    ended = mediswarm("job", "test", "broken", "--json")
    assert (ended.code, ended.json["exit_code"]) == (3, 3)
    (failed,) = (finding for finding in ended.json["findings"] if finding["status"] == "FAIL")
    assert (failed["code"], failed["subject"]) == ("MS-P003", "data contract")
    assert "must give the same values each time" in failed["message"]
    assert failed["repair"]


def test_the_schema_is_valid_json_and_names_the_keys(mediswarm: Any) -> None:
    document = mediswarm("job", "schema").json
    assert set(document["properties"]) == set(Job.model_fields)
    assert document["additionalProperties"] is False
    assert document["$schema"].startswith("https://json-schema.org/")


def test_a_broken_job_has_exit_code_3_place_and_hint(mediswarm: Any, tmp_path: Path) -> None:
    mediswarm("job", "new", "broken")
    file = tmp_path / "broken" / "job.yml"
    file.write_text(file.read_text().replace("rounds: 5", "round: 5"))
    for command in (("job", "validate"), ("job", "show"), ("job", "test"), ("simulate",)):
        ended = mediswarm(*command, "broken")
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith("error[MS-J003] broken/job.yml:13: unknown key `workflow.round`")
        assert "hint: Did you mean `rounds`?" in ended.err
    ended = mediswarm("job", "validate", "broken", "--json")
    assert ended.code == 3
    assert ended.json["error"] == {
        "code": "MS-J003",
        "message": "unknown key `workflow.round` (and 1 more)",
        "repair": "Did you mean `rounds`? Remove the key or correct its spelling.",
        "file": "broken/job.yml",
        "line": 13,
        "exit_code": 3,
    }
    assert json.dumps(ended.json)


def test_figures_are_kept_in_the_accounts_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept_figures().folder == tmp_path / "mediswarm" / "figures"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert kept_figures().folder == tmp_path / "me" / ".cache" / "mediswarm" / "figures"
