"""A model on disk: weights as safetensors, and a JSON that says what they are.

Loading into anything that does not match is an error, never a warning.
No pickle is read or written.
"""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from mediswarm.errors import ArtefactError
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Job, sha256_of_file, sha256_of_json

WEIGHTS_FILE, DESCRIPTION_FILE = "model.safetensors", "model.json"


@dataclass(frozen=True)
class Artefact:
    """What a checkpoint is.

    `contract` holds ordered classes, input shape and preprocessing tag;
    `architecture` the model's class; `sha256` the digest of the weights file.
    """

    job: str
    job_hash: str
    pipeline: str
    pipeline_version: str
    config: dict[str, Any]
    contract: dict[str, Any]
    architecture: str
    round: int
    metric: str
    value: float | None
    mediswarm_version: str
    sha256: str = ""


def save_artefact(folder: Path, weights: Weights, artefact: Artefact) -> Artefact:
    """Write both files; each appears whole or not at all.

    Returns:
        the artefact with its digest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{WEIGHTS_FILE}.partial"
    safetensors.torch.save_file({name: value.contiguous() for name, value in weights.items()}, partial)
    _reach_disk(partial)
    described = replace(artefact, sha256=sha256_of_file(partial))
    put_in_place(folder, partial, described)
    return described


def put_in_place(folder: Path, weights: Path, artefact: Artefact) -> None:
    """Make `weights`, a file in `folder`, the checkpoint's and write its JSON.

    Both are complete on disk before either takes its place: a full disk leaves the former checkpoint.
    """
    description = folder / f".{DESCRIPTION_FILE}.partial"
    description.write_text(json.dumps(asdict(artefact), indent=2) + "\n", encoding="utf-8")
    _reach_disk(description)
    weights.replace(folder / WEIGHTS_FILE)
    description.replace(folder / DESCRIPTION_FILE)


def repair_artefact(folder: Path) -> None:
    """Finish a replacement that a killed process left between its two steps."""
    description = folder / f".{DESCRIPTION_FILE}.partial"
    if not description.is_file() or not (folder / WEIGHTS_FILE).is_file():
        return
    try:
        described = json.loads(description.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        return  # not whole: the process died before the first step
    if described == sha256_of_file(folder / WEIGHTS_FILE):
        description.replace(folder / DESCRIPTION_FILE)


def _reach_disk(file: Path) -> None:
    """A machine that loses power must not keep the new name and lose the bytes."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def describe_artefact(folder: Path) -> Artefact:
    """Read a checkpoint's description.

    Raises:
        ArtefactError: MS-A001 when it is missing or not one.
    """
    file = folder / DESCRIPTION_FILE
    try:
        return Artefact(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ArtefactError("MS-A001", "the checkpoint has no description", file=file) from error
    except (ValueError, TypeError) as error:
        raise ArtefactError("MS-A001", "the checkpoint's description cannot be read", file=file) from error


def load_artefact(
    folder: Path, job: Job, contract: dict[str, Any], architecture: str
) -> tuple[Weights, Artefact]:
    """Load a checkpoint for a job whose model has `architecture` (see :func:`architecture_of`).

    Raises:
        ArtefactError: MS-A001 no description; MS-A002 another pipeline, config,
            contract or architecture, naming what differs; MS-A003 other bytes.
    """
    artefact = describe_artefact(folder)
    expected = {
        "pipeline": job.pipeline,
        "config": job.config,
        "contract": contract,
        "architecture": architecture,
    }
    for key, value in expected.items():
        found = getattr(artefact, key)
        if found != value:
            raise ArtefactError(
                "MS-A002",
                f"the checkpoint's {key} is {_short(found)}, the job's is {_short(value)}",
                file=folder / DESCRIPTION_FILE,
            )
    return read_weights(folder, artefact), artefact


def read_weights(folder: Path, artefact: Artefact) -> Weights:
    """The weights that :func:`describe_artefact` described.

    Raises:
        ArtefactError: MS-A003 missing, other bytes or no safetensors.
    """
    file = folder / WEIGHTS_FILE
    if not file.is_file() or sha256_of_file(file) != artefact.sha256:
        raise ArtefactError("MS-A003", "the weights file is missing or not the one described", file=file)
    try:
        weights: Weights = safetensors.torch.load_file(file)
    except safetensors.SafetensorError as error:
        raise ArtefactError("MS-A003", "the weights file is not safetensors", file=file) from error
    return weights


def architecture_of(weights: Weights, kind: str) -> str:
    """The model's class and a digest of its parameters' names, types and shapes."""
    layout = [[name, str(value.dtype), list(value.shape)] for name, value in sorted(weights.items())]
    return f"{kind}:{sha256_of_json(layout)[:16]}"


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return textwrap.shorten(text, 120, placeholder=" …")
