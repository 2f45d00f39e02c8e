"""`mediswarm check` and `mediswarm train`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mediswarm.cli.run_view import RunView, counted
from mediswarm.spec.catalogue import JOBS

NAME = "minimal_training_pytorch_cnn"


def spoil(mediswarm: Any, tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A new job in the current directory, with changes to its pipeline."""
    mediswarm("job", "new", "spoilt")
    code = tmp_path / "spoilt" / "pipeline.py"
    text = code.read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    code.write_text(text)
    return tmp_path / "spoilt"


def test_check_passes(mediswarm: Any, tmp_path: Path) -> None:
    ended = mediswarm("check", NAME, "--site", "north", "--scratch", tmp_path / "scratch")
    assert ended.code == 0
    assert "60 training, 30 validation, 30 test cases" in ended.out
    said = mediswarm("check", NAME, "--site", "north", "--json").json
    assert (said["status"], said["exit_code"], said["counts"]["FAIL"]) == ("PASS", 0, 0)


def test_check_fails_with_exit_code_4(mediswarm: Any, tmp_path: Path) -> None:
    spoil(mediswarm, tmp_path, ("(2, 4, 4)", "(2, 999, 4)"))
    ended = mediswarm("check", "spoilt", "--site", "north")
    assert ended.code == 4
    assert "FAIL" in ended.out
    assert "hint: Give the site cases for training and validation." in " ".join(ended.out.split())
    said = mediswarm("check", "spoilt", "--site", "north", "--json")
    assert (said.code, said.json["status"]) == (4, "FAIL")


def test_train_at_one_site(mediswarm: Any, tmp_path: Path) -> None:
    spoil(mediswarm, tmp_path, ("cases: PositiveInt = 120", "cases: PositiveInt = 40"))
    job = tmp_path / "spoilt" / "job.yml"
    job.write_text(job.read_text().replace("cases: 120", "cases: 40").replace("rounds: 5", "rounds: 2"))
    ended = mediswarm("train", "spoilt", "--site", "north", "--out", "run")
    assert ended.code == 0
    assert "succeeded" in ended.out
    assert "round 2 of 2" in ended.err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert list(record["participants"]) == ["north"]
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()

    ended = mediswarm("train", "spoilt", "--site", "north", "--out", "run")
    assert ended.code == 2
    assert "error[MS-U003]" in ended.err
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "best").write_text("mine")
    for command in (("train", "spoilt", "--site", "north"), ("simulate", "spoilt", "--sites", "north")):
        ended = mediswarm(*command, "--out", "papers")
        assert ended.code == 2
        assert "error[MS-U003]" in ended.err
        assert "the run directory is not empty" in ended.err
    assert [file.read_text() for file in (tmp_path / "papers").iterdir()] == ["mine"]
    again = mediswarm("train", "spoilt", "--site", "north", "--out", "again", "--json")
    assert again.code == 0
    assert again.json["best"] == record["best"]


def test_one_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    with RunView("a job", 1, "auroc") as view:
        view.event({"event": "start", "sites": ["north"], "left_out": {}})
        assert view.progress.tasks[0].fields["note"] == "1 site ready"
    assert "a job: 1 round\n" in capsys.readouterr().err
    assert counted(2, "site") == "2 sites"


def test_train_without_out_makes_a_directory_of_its_own(mediswarm: Any, tmp_path: Path) -> None:
    folder = spoil(mediswarm, tmp_path)
    job = folder / "job.yml"
    job.write_text(job.read_text().replace("cases: 120", "cases: 40").replace("rounds: 5", "rounds: 1"))
    assert mediswarm("train", "spoilt", "--site", "north").code == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("spoilt-20")


def test_a_run_that_fails_says_why_on_standard_error_and_in_the_record(
    mediswarm: Any, tmp_path: Path
) -> None:
    folder = spoil(mediswarm, tmp_path)
    job = folder / "job.yml"
    job.write_text(job.read_text().replace("lr: 0.003", "lr: 1.0e+30").replace("name: adamw", "name: sgd"))
    ended = mediswarm("train", "spoilt", "--site", "north", "--out", "run")
    assert ended.code == 6
    assert "error[MS-R004]" in ended.err
    assert "hint: Lower training.optimizer.lr" in ended.err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"


def test_what_nobody_foresaw_is_an_error_too(
    mediswarm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("mediswarm.preflight.data.check_data", fail)
    ended = mediswarm("check", NAME, "--site", "north", "--json")
    assert ended.code == 1
    assert ended.json["error"]["code"] == "MS-R001"
    assert "error[MS-R001]" in ended.err
    assert "ZeroDivisionError: boom" in ended.err
    # the traceback lies in the file that the message names
    named = Path(ended.json["error"]["file"])
    assert "in fail" in named.read_text()
    named.unlink()


def test_an_exception_in_a_jobs_own_file_names_its_line(mediswarm: Any, tmp_path: Path) -> None:
    folder = spoil(
        mediswarm,
        tmp_path,
        ("        count, size = self", "        boom = 1 / 0\n        count, size = self"),
    )
    code = (folder / "pipeline.py").read_text().splitlines()
    line = code.index("        boom = 1 / 0") + 1
    ended = mediswarm("train", "spoilt", "--site", "north", "--out", "run")
    assert ended.code == 3
    assert f"pipeline.py:{line}: it raised ZeroDivisionError" in ended.err
    assert "error[MS-P003]" in ended.err
    named = Path(ended.err.split("the traceback is in ")[1].split(".log")[0] + ".log")
    assert "boom = 1 / 0" in named.read_text()
    named.unlink()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["state"], record["error"]["code"]) == ("failed", "MS-R001")


USAGE = [
    (("train", NAME, "--site", "a", "--data", "nowhere"), 2, "MS-U001"),
    (("check", NAME, "--site", "a", "--data", "nowhere"), 2, "MS-U001"),
    (("simulate", NAME, "--data", "empty"), 2, "MS-U002"),
    (("simulate", NAME, "--data", "hospitals", "--sites", "north,sowth"), 2, "MS-U002"),
    (("simulate", NAME, "--data", "hospitals", "--sites", "north,north"), 2, "MS-U005"),
    (("simulate", NAME, "--sites", "alpha,server"), 2, "MS-U005"),
    (("simulate", NAME, "--sites", "north site"), 2, "MS-U005"),
    (("simulate", "no_such_job"), 3, "MS-J001"),
    (("train", "odelia_demo", "--site", "north", "--data", "hospitals"), 4, "MS-D"),
    (("check", "odelia_demo", "--site", "west", "--data", "hospitals"), 4, "MS-D002"),
    (("train", NAME, "--site", "a", "--device", "cuda:77"), 10, "MS-H002"),
    (("train", NAME, "--site", "a", "--device", "cuda"), 10, "MS-H002"),
    (("train", NAME, "--site", "a", "--device", "gpu"), 10, "MS-H002"),
    (("check", NAME, "--site", "a", "--device", "cdua"), 10, "MS-H002"),
    (("simulate", NAME, "--device", "cuda:x"), 10, "MS-H002"),
    (("simulate", NAME, "--sites", "north,,south"), 2, "MS-U004"),
    (("simulate", NAME, "--sites", "simulate_job,x"), 2, "MS-U005"),
    (("train", NAME, "--site", "../../etc", "--out", "o/tt"), 2, "MS-U005"),
    (("check", NAME, "--site", "server"), 2, "MS-U005"),
    (("job", "test", NAME, "--site", "../up"), 2, "MS-U005"),
    (("train", NAME, "--site", "a", "--data", "hospitals", "--out", "hospitals/run"), 2, "MS-U004"),
    (("simulate", NAME, "--data", "hospitals", "--out", "hospitals"), 2, "MS-U004"),
    (("train", NAME, "--site", "a", "--data", "hospitals", "--scratch", "hospitals/north"), 2, "MS-U004"),
    (("check", NAME, "--site", "a", "--data", "hospitals", "--scratch", "hospitals"), 2, "MS-U004"),
    (("train", NAME, "--site", "a", "--out", "file/run"), 10, "MS-H001"),
    (("train", NAME, "--site", "a", "--data", "file"), 2, "this is a file"),
    (("simulate", "odelia_demo"), 2, "MS-U004"),
    (("train", "odelia_demo", "--site", "north"), 2, "MS-U004"),
    (("check", "odelia_demo", "--site", "north"), 2, "Pass --data DIR"),
    (("job", "test", "odelia_demo"), 2, "MS-U004"),
    (("job", "test", "odelia_demo", "--data", "empty"), 2, "MS-U002"),
    (("job", "test", "odelia_demo", "--data", "hospitals"), 4, "MS-D"),
]


@pytest.mark.parametrize(("arguments", "code", "error"), USAGE, ids=[" ".join(row[0]) for row in USAGE])
def test_errors_of_use(
    arguments: tuple[str, ...],
    code: int,
    error: str,
    mediswarm: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for site in ("north", "south"):
        (tmp_path / "hospitals" / site).mkdir(parents=True)
    ended = mediswarm(*arguments)
    assert ended.code == code
    assert error in ended.err + ended.out
    left = {path.name for path in tmp_path.rglob("*") if path.is_dir()}
    assert left <= {"empty", "hospitals", "north", "south", "runs"} or code == 4


@pytest.mark.parametrize("arguments", [("train", NAME), ("no-such-command",), ("job", "validate")])
def test_a_command_that_is_not_understood(arguments: tuple[str, ...], mediswarm: Any) -> None:
    ended = mediswarm(*arguments)
    assert ended.code == 2
    assert "Usage" in ended.err


@pytest.mark.parametrize(
    "arguments", [("--help",), ("job", "--help"), ("simulate", "--help"), ("--version",)]
)
def test_help(arguments: tuple[str, ...], mediswarm: Any) -> None:
    ended = mediswarm(*arguments)
    assert ended.code == 0
    assert "mediswarm" in ended.out


def test_the_installed_command(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("mediswarm")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "job.yml").write_text((JOBS / NAME / "job.yml").read_text().replace("5", "five"))
    done = subprocess.run(
        [command, "job", "validate", tmp_path / "broken"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(
        f"error[MS-J005] {tmp_path}/broken/job.yml:13: `workflow.rounds` should be a whole"
    )


def test_doctor(mediswarm: Any, tmp_path: Path) -> None:
    said = mediswarm("doctor", "--scratch", tmp_path / "scratch", "--json")
    assert said.code == said.json["exit_code"]
    assert {finding["status"] for finding in said.json["findings"]} <= {"PASS", "WARN", "FAIL"}
    assert "torch" in said.out
