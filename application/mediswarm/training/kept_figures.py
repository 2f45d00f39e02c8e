"""What jobs take, kept in the account's cache once it was found out: sizes of models, measured steps.

::

    <folder>/<job hash>/size.json                  parameters and bytes, and of which code
    <folder>/<job hash>/step-<device, threads>.json

Nothing of it changes what is trained; the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mediswarm
from mediswarm.spec import Job
from mediswarm.spec.whole_file import write_whole

_NETWORK_PACKAGES = ("torch", "monai", "transformers", "torchvision")


@dataclass(frozen=True)
class ModelSize:
    """Parameters of a model, and the bytes in memory of parameters and buffers."""

    parameters: int
    bytes: int


@dataclass(frozen=True)
class StepEstimate:
    """One training step as measured on `device`, with `batch_size` cases, on a day of UTC.

    `processor_seconds_per_case` is how long cores worked for this process: of a machine that is busy
    otherwise it says more than `seconds_per_case`. `peak_bytes` is what CUDA had allocated at most; on
    a CPU, the largest that the process which measured it, and did nothing else, has been.
    """

    device: str
    device_name: str
    threads: int
    batch_size: int
    seconds_per_case: float
    processor_seconds_per_case: float
    peak_bytes: int
    measured: str


class KeptFigures:
    """Figures by job; a job that was changed has a hash of its own, and no figures yet.

    Args:
        folder: where they are, made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def size(self, job: Job, find: Callable[[], ModelSize | None]) -> ModelSize | None:
        """The size kept for the job and this code, else what `find` gives, which is kept if it is a size."""
        file = self.folder / job.hash / "size.json"
        found = _read(file)
        with contextlib.suppress(KeyError, TypeError):
            if found.pop("code") == self._code:
                return ModelSize(**found)
        size = find()
        if size is not None:
            # where it cannot be written, the next command counts again
            with contextlib.suppress(OSError):
                _write(file, asdict(size) | {"code": self._code})
        return size

    def steps(self, job: Job) -> list[StepEstimate]:
        """All measurements kept for the job, by device and threads."""
        found = []
        for file in (self.folder / job.hash).glob("step-*.json"):
            # of another version, or damaged: to be measured again
            with contextlib.suppress(TypeError):
                found.append(StepEstimate(**_read(file)))
        return sorted(found, key=lambda step: (step.device_name, step.threads))

    def keep_step(self, job: Job, step: StepEstimate) -> None:
        """Keep a measurement in place of a former one with this device and so many threads.

        Raises:
            OSError: when the folder cannot be written.
        """
        where = hashlib.sha256(f"{step.device_name} {step.threads}".encode()).hexdigest()[:16]
        _write(self.folder / job.hash / f"step-{where}.json", asdict(step))

    @cached_property
    def _code(self) -> str:
        """What a model's size depends on beside its job: the package's own files, and its libraries."""
        root = Path(mediswarm.__file__).parent
        digest = hashlib.sha256()
        for file in sorted(root.rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
        for package in _NETWORK_PACKAGES:
            with contextlib.suppress(PackageNotFoundError):
                digest.update(f"{package} {version(package)}\0".encode())
        return digest.hexdigest()


def _read(file: Path) -> dict[str, Any]:
    """A kept document; empty where there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        document = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(document, dict):
            return document
    return {}


def _write(file: Path, document: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(document))
