"""`mediswarm odelia`: as a site calls it, and killed while it works."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mediswarm.data.prepare import libraries
from mediswarm.data.synthetic_dicom import Scan, write_examination

SCAN = Scan(size=(44, 38, 12), spacing=(8.0, 8.0, 8.0))


def write_site(root: Path, count: int) -> Path:
    rows = ["Case,PatientID,Age,Side,Lesion,Folder"]
    for number in range(count):
        write_examination(root / f"exam{number}", SCAN)
        rows += [f"C{number},P{number},,{side},{number % 2},exam{number}" for side in ("left", "right")]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def begin(source: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    code = "import sys; from mediswarm.cli import main; sys.argv[0] = 'mediswarm'; main()"
    arguments = ["odelia", "prepare", "--input", str(source), "--output", str(output), *options]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL)


def killed_when(condition: Callable[[], bool], run: subprocess.Popen[bytes]) -> None:
    while not condition():
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"it ended with {run.wait(0.05)} before it was killed")
    family = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait(20)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == [], "a process outlives the command that started it"


def test_killed_and_resumed_it_makes_the_same_files(tmp_path: Path) -> None:
    source, whole, output = write_site(tmp_path / "input", 3), tmp_path / "whole", tmp_path / "output"
    # three patients are too few for split.csv, and enough for the images
    assert begin(source, whole, "--workers", "1").wait(120) == 4

    killed_when((output / "data_unilateral").exists, begin(source, output, "--workers", "2"))
    assert not (output / "metadata_unilateral").exists()
    first = output / "manifests"
    killed_when(lambda: any(first.glob("C*.json")), begin(source, output, "--workers", "1"))
    done = {file.name: file.stat().st_mtime_ns for file in first.glob("C*.json")}

    assert begin(source, output, "--workers", "1").wait(120) == 4
    assert tree(output) == tree(whole)
    assert {name: (first / name).stat().st_mtime_ns for name in done} == done


def test_failures_are_shown_with_code_and_repair(mediswarm: Any, tmp_path: Path) -> None:
    source = write_site(tmp_path / "input", 1)
    for file in (source / "exam0" / "S2").iterdir():
        file.unlink()
    arguments = ("odelia", "prepare", "--input", source, "--output", tmp_path / "out", "--workers", "1")
    ended = mediswarm(*arguments)
    assert ended.code == 4
    assert "C0: error[MS-X012] Post_1 is missing" in ended.err
    assert "t1 dyn pre" not in ended.out + ended.err
    shown = mediswarm(*arguments, "--json", "--show-cases")
    assert shown.code == 4
    case = shown.json["cases"][0]
    assert (case["case"], case["code"]) == ("C0", "MS-X012")
    assert "t1 dyn pre" in case["detail"]
    assert mediswarm(*arguments, "--json").json["cases"][0]["detail"] == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--input", "nowhere", "--output", "out"), "MS-U001"),
        (("--input", "input"), "MS-U004"),
        (("--input", "input", "--output", "out", "--labels", "none.csv"), "MS-D101"),
        (("--input", "input", "--output", "out", "--rules", "none.yml"), "MS-X003"),
        (("--input", "layout", "--output", "out"), "MS-U004"),
        (("--input", "layout"), "MS-X002"),
        (("--input", "layout", "--labels", "labels.csv"), "MS-X026"),
        (("--input", "layout", "--rules", "rules.yml"), "MS-X026"),
        (("--input", "layout", "--original"), "MS-X026"),
    ],
)
def test_what_cannot_be_is_refused(
    mediswarm: Any, tmp_path: Path, arguments: tuple[str, ...], code: str
) -> None:
    (tmp_path / "input" / "exam0").mkdir(parents=True)
    (tmp_path / "layout" / "data_unilateral").mkdir(parents=True)
    ended = mediswarm("odelia", "prepare", *arguments)
    assert f"error[{code}]" in ended.err
    assert ended.code != 0
    assert not (tmp_path / "out").exists()


def test_both_breasts_in_one_volume_are_written_where_asked_for(mediswarm: Any, tmp_path: Path) -> None:
    write_site(tmp_path / "input", 1)
    arguments = ("--input", "input", "--output", "out", "--original", "--workers", "1", "--json")
    assert mediswarm("odelia", "prepare", *arguments).json["cases"][0]["status"] == "prepared"
    assert (tmp_path / "out" / "data" / "C0" / "Sub_1.nii.gz").is_file()


def test_an_option_that_tagging_does_not_use_is_named(mediswarm: Any, tmp_path: Path) -> None:
    (tmp_path / "layout" / "data_unilateral").mkdir(parents=True)
    ended = mediswarm("odelia", "prepare", "--input", "layout", "--rules", "mine.yml")
    assert (ended.code, ended.err.count("--rules was given")) == (2, 1)


def test_without_the_dicom_packages_the_repair_is_named(
    mediswarm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input" / "exam0").mkdir(parents=True)
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    ended = mediswarm("odelia", "prepare", "--input", "input", "--output", "out")
    assert "error[MS-X001]" in ended.err
    assert "pip install mediswarm[dicom]" in ended.err


def test_the_default_rules_are_printed_to_be_changed(mediswarm: Any, tmp_path: Path) -> None:
    printed = mediswarm("odelia", "rules").out
    assert "select:" in printed
    write_site(tmp_path / "input", 1)
    (tmp_path / "rules.yml").write_text(printed)
    arguments = ("--input", "input", "--output", "out", "--rules", "rules.yml", "--workers", "1", "--json")
    assert mediswarm("odelia", "prepare", *arguments).json["cases"][0]["status"] == "prepared"
