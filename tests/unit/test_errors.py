"""Errors: stable codes, exit codes, and what crosses borders of them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from mediswarm import errors
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import DataError, JobError, MediSwarmError, RunCrashed, code_of, error_from_dict


def test_an_error_says_code_place_rule_and_repair() -> None:
    error = DataError("MS-D110", "2 patients are in train and test", file=Path("a/split.csv"), line=7)
    assert str(error) == (
        "error[MS-D110] a/split.csv:7: 2 patients are in train and test\n"
        f"  hint: {ERROR_CODES['MS-D110'].resolve}"
    )
    assert DataError("MS-D110", "x", file="a.csv").place == "a.csv"
    assert str(RunCrashed("MS-R006", "gone", repair="Look.")) == "error[MS-R006] gone\n  hint: Look."


@pytest.mark.parametrize("kind", MediSwarmError.__subclasses__())
def test_errors_travel_between_processes_and_through_json(kind: type[MediSwarmError]) -> None:
    error = kind("MS-J005", "`rounds` is -1", repair="Make it positive.", file="job.yml", line=3)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copied) is kind
    assert copied.as_dict() == error.as_dict()
    back = error_from_dict(error.as_dict())
    assert back.exit_code == kind.exit_code
    assert str(back) == str(error)


def test_exit_codes_tell_kinds_apart() -> None:
    codes = {kind.__name__: kind.exit_code for kind in MediSwarmError.__subclasses__()}
    assert codes.pop("PipelineError") == codes["JobError"] == 3
    assert sorted(codes.values()) == list(range(2, 2 + len(codes)))
    tree = dict(re.findall(r"── (\w+) +exit (\d+)", str(errors.__doc__)))
    assert {name: int(code) for name, code in tree.items()} == codes | {"PipelineError": 3}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobError("MS-J004", "x"), "MS-J004"),
        (ValueError("patient 4711"), "MS-R001"),
        (MemoryError(), "MS-H003"),
        (OSError(28, "No space left on device", "/data/patient-4711"), "MS-H004"),
        (OSError(13, "Permission denied", "/data/patient-4711"), "MS-R001"),
    ],
    ids=str,
)
def test_only_a_code_leaves_a_site(error: Exception, code: str) -> None:
    assert code_of(error) == code


def test_torchs_out_of_memory_is_known() -> None:
    import torch

    assert code_of(torch.OutOfMemoryError("CUDA out of memory")) == "MS-H003"


def test_an_unknown_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        JobError("MS-J999", "x")
