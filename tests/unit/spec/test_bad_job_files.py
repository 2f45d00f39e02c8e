"""Every mistake in a job file is an error that names its code, file, line, rule and repair."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from mediswarm.errors import JobError, MediSwarmError, PipelineError
from mediswarm.pipelines import load_pipeline
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS, find_job

GOOD = (JOBS / "minimal_training_pytorch_cnn" / "job.yml").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the minimal job, to be spoilt."""
    return Path(
        shutil.copytree(JOBS / "minimal_training_pytorch_cnn", tmp_path / "minimal_training_pytorch_cnn")
    )


class Bad(NamedTuple):
    """The good job with `old` replaced by `new`, and what is said about it."""

    old: str
    new: str
    code: str
    line: int
    rule: str
    repair: str = ""


BAD = {
    "unknown key": Bad("selection:", "trainig: {}\nselection:", "MS-J003", 14, "`trainig`", "`training`"),
    "unknown key in a section": Bad(
        "batch_size", "batchsize", "MS-J003", 9, "`training.batchsize`", "`batch_size`"
    ),
    "unknown key in the workflow": Bad(
        "rounds: 5", "rounds: 5\n  prox_mu: 1", "MS-J003", 14, "`workflow.prox_mu`", "`proximal_mu`"
    ),
    "misspelt required key": Bad("rounds: 5", "round: 5", "MS-J003", 13, "`workflow.round`", "`rounds`"),
    "missing key": Bad(
        "  rounds: 5\n", "", "MS-J004", 11, "`workflow.rounds` is missing", "`workflow.rounds:`"
    ),
    "missing section": Bad("selection: {metric: auroc_macro, mode: max}", "", "MS-J004", 1, "`selection`"),
    "workflow without a name": Bad("  name: fedavg\n", "", "MS-J004", 11, "`workflow.name` is missing"),
    "unknown workflow": Bad("name: fedavg", "name: fedavgg", "MS-J005", 12, "'fedavg', 'fedopt'"),
    "wrong type": Bad("batch_size: 16", "batch_size: many", "MS-J005", 9, "whole number, not 'many'"),
    "fraction of a case": Bad("batch_size: 16", "batch_size: 1.5", "MS-J005", 9, "whole number, not 1.5"),
    "text for a section": Bad("local: {epochs: 2}", "local: two", "MS-J005", 8, "mapping of keys to values"),
    "negative rounds": Bad(
        "rounds: 5", "rounds: -5", "MS-J005", 13, "`workflow.rounds` should be greater than 0"
    ),
    "impossible quorum": Bad(
        "rounds: 5", "rounds: 5\n  round_quorum: most", "MS-J005", 14, "'all' or a whole number, not 'most'"
    ),
    "round quorum above the start quorum": Bad(
        "rounds: 5",
        "rounds: 5\n  start_quorum: 2\n  round_quorum: 3",
        "MS-J006",
        11,
        "round_quorum 3 is above start_quorum 2",
    ),
    "key of another workflow": Bad(
        "name: fedavg\n",
        "name: cyclic\n  proximal_mu: 0.1\n",
        "MS-J003",
        13,
        "`workflow.proximal_mu`",
        "`proximal_mu` belongs to fedavg, fedopt, swarm.",
    ),
    "key of another section": Bad(
        "rounds: 5", "rounds: 5\n  batch_siz: 4", "MS-J003", 14, "`workflow.batch_siz`", "Remove the key"
    ),
    "name that YAML reads as false": Bad(
        "name: minimal_training_pytorch_cnn", "name: no", "MS-J005", 2, "a text, not False", "in quotes"
    ),
    "long value": Bad("batch_size: 16", f"batch_size: {'x' * 500}", "MS-J005", 9, f"'{'x' * 56}..."),
    "true for a number": Bad("lr: 0.003", "lr: true", "MS-J005", 10, "should be a number, not True"),
    "true for a whole number": Bad("rounds: 5", "rounds: true", "MS-J005", 13, "whole number, not True"),
    "quoted number": Bad("epochs: 2", 'epochs: "2"', "MS-J005", 8, "whole number, not '2'"),
    "quoted fraction": Bad("lr: 0.003", 'lr: "0.003"', "MS-J005", 10, "should be a number, not '0.003'"),
    "quoted quorum": Bad(
        "rounds: 5", "rounds: 5\n  round_quorum: '2'", "MS-J005", 14, "whole number, not '2'"
    ),
    "file given twice": Bad("pipeline:", "files: [a.txt, ./a.txt]\npipeline:", "MS-J005", 4, "'./a.txt'"),
    "job.yml as a file": Bad("pipeline:", "files: [job.yml]\npipeline:", "MS-J005", 4, "need not be named"),
    "pipeline as a file": Bad(
        "pipeline:", "files: [pipeline.py]\npipeline:", "MS-J005", 4, "need not be named"
    ),
    "last rate of a constant rate": Bad(
        "batch_size: 16",
        "batch_size: 16\n  schedule: {name: constant, final: 0.1}",
        "MS-J006",
        10,
        "final 0.1 belongs to cosine and linear",
    ),
    "NaN": Bad("lr: 0.003", "lr: .nan", "MS-J005", 10, "`training.optimizer.lr` should be a finite number"),
    "NaN in the config": Bad("cases: 120", "cases: .nan", "MS-J005", 6, "`config.cases` should be a finite"),
    "unquoted date": Bad("cases: 120", "cases: 2024-01-31", "MS-J005", 6, "quote a date"),
    "key that is a number": Bad("cases: 120", "3: 120", "MS-J005", 5, "only texts as keys"),
    "unknown mode": Bad("mode: max", "mode: up", "MS-J005", 14, "'max' or 'min', not 'up'"),
    "name that cannot be": Bad(
        "name: minimal_training_pytorch_cnn",
        "name: 1 job",
        "MS-J005",
        2,
        "letter and hold only letters, digits",
    ),
    "momentum without sgd": Bad(
        "lr: 0.003", "lr: 0.003, momentum: 0.9", "MS-J006", 10, "momentum belongs to sgd, not to adamw"
    ),
    "momentum of the server without sgd": Bad(
        "name: fedavg",
        "name: fedopt\n  server_optimizer: {name: adam, lr: 1.0, momentum: 0.9}",
        "MS-J006",
        13,
        "`workflow.server_optimizer`",
    ),
    "scaffold with adamw": Bad(
        "name: fedavg", "name: scaffold", "MS-J006", 11, "needs training.optimizer sgd"
    ),
    "two kinds of local work": Bad("epochs: 2", "epochs: 2, steps: 3", "MS-J006", 8, "not epochs and steps"),
    "no local work": Bad("{epochs: 2}", "{}", "MS-J006", 8, "exactly one of epochs, steps, epochs_scaled"),
    "minimum above maximum": Bad(
        "epochs: 2",
        "epochs_scaled: {reference_cases: 9, minimum: 5, maximum: 2}",
        "MS-J006",
        8,
        "minimum 5 is above maximum 2",
    ),
    "name of another folder": Bad(
        "name: minimal_training_pytorch_cnn",
        "name: mine",
        "MS-J006",
        2,
        "the folder is",
        "name of its folder",
    ),
    "missing file": Bad(
        "pipeline:", "files: [genes.txt]\npipeline:", "MS-J007", 4, "'genes.txt'", "beside job.yml"
    ),
    "missing pipeline file": Bad("./pipeline.py", "./pipe.py", "MS-J007", 4, "'pipe.py'", "beside job.yml"),
    "key given twice": Bad("batch_size: 16", "batch_size: 16\n  batch_size: 8", "MS-J008", 10, "at line 9"),
    "file outside the folder": Bad(
        "pipeline:",
        "files: [../genes.txt]\npipeline:",
        "MS-J011",
        4,
        "outside the job's folder",
        "Copy the file",
    ),
    "pipeline outside the folder": Bad(
        "./pipeline.py", "./../pipeline.py", "MS-J011", 4, "outside the job's folder", "Copy the file"
    ),
    "tab": Bad("  cases: 120", "\tcases: 120", "MS-J002", 6, "cannot start any token", "by spaces"),
    "unclosed bracket": Bad("mode: max}", "mode: max", "MS-J002", 15, "expected"),
    "object of a Python class": Bad(
        "cases: 120", "cases: !!python/name:os.system", "MS-J002", 6, "constructor"
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_the_first_error_names_code_place_rule_and_repair(bad: Bad, folder: Path) -> None:
    assert GOOD.count(bad.old) == 1
    file = folder / "job.yml"
    file.write_text(GOOD.replace(bad.old, bad.new), encoding="utf-8")
    with pytest.raises(JobError) as caught:
        load_job(folder)
    error = caught.value
    assert (error.code, error.place) == (bad.code, f"{file}:{bad.line}")
    assert bad.rule in error.message
    assert bad.repair in error.repair
    if not bad.repair.startswith("`"):
        assert "Did you mean" not in error.repair
    assert error.describe() == f"error[{bad.code}] {file}:{bad.line}: {error.message}\n  hint: {error.repair}"
    assert len(error.repair) > 20


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"- name\n- pipeline\n", b"fedavg\n"])
def test_a_job_is_a_mapping(content: bytes, folder: Path) -> None:
    (folder / "job.yml").write_bytes(content)
    with pytest.raises(JobError, match="mapping of keys to values") as caught:
        load_job(folder)
    assert (caught.value.code, caught.value.line) == ("MS-J005", 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (GOOD.encode("utf-16"), "MS-J001"),
        (GOOD.encode() + b"# \x00\n", "MS-J002"),
        (GOOD.encode() + b"---\nname: second\n", "MS-J002"),
        (GOOD.encode() + b"circle: &a [*a]\n", "MS-J002"),
        (GOOD.encode() + b"day: 2024-13-45\n", "MS-J002"),
        (b"[" * 5000, "MS-J002"),
    ],
    ids=["utf-16", "NUL", "two documents", "value that contains itself", "impossible date", "deep nesting"],
)
def test_what_is_no_job_document_is_refused_by_name(content: bytes, code: str, folder: Path) -> None:
    (folder / "job.yml").write_bytes(content)
    with pytest.raises(JobError) as caught:
        load_job(folder)
    assert caught.value.code == code
    assert caught.value.file == str(folder / "job.yml")


@pytest.mark.parametrize(
    ("content", "line", "rule"),
    [
        (GOOD.encode("utf-16"), 1, "not UTF-8"),
        (GOOD.encode() + b"# na\xefve\n", 15, "not UTF-8"),
        (GOOD.encode() + b"# \x00\n", 15, r"U\+0000"),
        (GOOD.encode("utf-16-le"), 1, r"U\+0000"),
    ],
    ids=["utf-16", "latin-1", "NUL", "utf-16 without a mark"],
)
def test_a_file_in_another_encoding_is_to_be_saved_as_utf_8(
    content: bytes, line: int, rule: str, folder: Path
) -> None:
    (folder / "job.yml").write_bytes(content)
    with pytest.raises(JobError, match=rule) as caught:
        load_job(folder)
    assert caught.value.line == line
    assert "save it as UTF-8" in caught.value.repair


def test_a_number_in_powers_of_ten_needs_no_point(folder: Path) -> None:
    (folder / "job.yml").write_text(GOOD.replace("lr: 0.003", "lr: 3e-3"))
    assert load_job(folder).training.optimizer.lr == 0.003


def test_a_byte_order_mark_is_no_error(folder: Path) -> None:
    (folder / "job.yml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_job(folder).workflow.rounds == 5


def test_other_problems_are_counted(folder: Path) -> None:
    text = GOOD.replace("rounds: 5", "rounds: -5").replace("batch_size: 16", "batch_size: 0")
    (folder / "job.yml").write_text(text)
    with pytest.raises(JobError, match=r"batch_size.*and 1 more"):
        load_job(folder)


def test_a_folder_without_job_and_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        load_job(tmp_path)
    assert (caught.value.code, caught.value.file) == ("MS-J001", str(tmp_path / "job.yml"))
    with pytest.raises(JobError, match="minimal_training_pytorch_cnn") as caught:
        find_job("no_such_job")
    assert caught.value.code == "MS-J001"


CODE = (JOBS / "minimal_training_pytorch_cnn" / "pipeline.py").read_text(encoding="utf-8")
BAD_PIPELINES = {
    "module that is not there": ("import no_such_module_here\n", "MS-P002", "no_such_module_here"),
    "syntax error": ("class (\n", "MS-P002", "SyntaxError"),
    "exits when imported": ("import sys\nsys.exit(1)\n", "MS-P002", "SystemExit"),
    "no pipeline": ("answer = 42\n", "MS-P002", "exactly one Pipeline, and defines none"),
    "two pipelines": (CODE + "\n\nclass Second(Minimal):\n    pass\n", "MS-P002", "defines Minimal, Second"),
    "no Config": (CODE.replace("    Config = MinimalConfig\n", ""), "MS-P003", "declares no Config"),
    "no model": (CODE[: CODE.index("    def model")], "MS-P003", "Minimal lacks model"),
}


@pytest.mark.parametrize(("code", "error_code", "rule"), BAD_PIPELINES.values(), ids=BAD_PIPELINES.keys())
def test_a_bad_pipeline_file(code: str, error_code: str, rule: str, folder: Path) -> None:
    (folder / "pipeline.py").write_text(code)
    with pytest.raises(PipelineError) as caught:
        load_pipeline(load_job(folder))
    assert (caught.value.code, caught.value.file) == (error_code, str(folder / "pipeline.py"))
    assert rule in caught.value.message


BAD_CONFIGS = {
    "unknown key": Bad("cases: 120", "case: 120", "MS-J009", 6, "unknown key `config.case`", "`cases`"),
    "value out of range": Bad(
        "cases: 120", "cases: -1", "MS-J009", 6, "`config.cases` should be greater than 0"
    ),
    "true for a number": Bad("cases: 120", "cases: true", "MS-J009", 6, "whole number, not True"),
    "unknown metric (R17)": Bad("auroc_macro", "acc", "MS-J010", 14, "reports accuracy", "metrics listed"),
    "unknown pipeline": Bad("./pipeline.py", "cifar", "MS-P001", 4, "known are cifar10", "./pipeline.py"),
    "pipeline file without ./": Bad(
        "./pipeline.py", "pipeline.py", "MS-P001", 4, "known are", "./pipeline.py"
    ),
}


@pytest.mark.parametrize("bad", BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_what_only_the_pipeline_knows_is_refused_with_its_line(bad: Bad, folder: Path) -> None:
    file = folder / "job.yml"
    file.write_text(GOOD.replace(bad.old, bad.new), encoding="utf-8")
    with pytest.raises(MediSwarmError) as caught:
        load_pipeline(load_job(folder))
    error = caught.value
    assert (error.code, error.place) == (bad.code, f"{file}:{bad.line}")
    assert bad.rule in error.message
    assert bad.repair in error.repair
