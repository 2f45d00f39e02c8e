"""The models of a run on disk: `last` after every round, `best` by the declared metric."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch

from mediswarm import __version__
from mediswarm.pipelines.base import Pipeline
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Job
from mediswarm.training.artefact import (
    WEIGHTS_FILE,
    Artefact,
    architecture_of,
    describe_artefact,
    load_artefact,
    put_in_place,
    repair_artefact,
    save_artefact,
)


class ModelStore:
    """Writes ``<folder>/last`` and ``<folder>/best``.

    Args:
        folder: the run directory.
        job: what is trained.
        pipeline: the job's pipeline.
        initial: all weights of the initial model; names that are not shared keep these values.
        kind: the model's class name.
    """

    def __init__(self, folder: Path, job: Job, pipeline: Pipeline[Any], initial: Weights, kind: str) -> None:
        self.folder, self.job, self.pipeline, self.initial = folder, job, pipeline, initial
        self.architecture = architecture_of(initial, kind)
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[Artefact] | None = None

    def save_last(self, shared: Weights, model: int, state: Weights | None = None) -> None:
        """Write model number `model` while the run goes on; the tensors must not be written to.

        Args:
            shared: the shared weights.
            model: how many rounds it has behind it.
            state: what the strategy needs to go on from this model, kept in ``<folder>/strategy``.

        Raises:
            OSError: what became of the write before this one, such as a full disk.
        """
        self.wait()
        weights, described = self._whole(shared), self._described(model, None)
        self._writing = self._writer.submit(self._write, weights, described, state or {})

    def take_best(self, shared: Weights, model: int, value: float | None) -> None:
        """Write model number `model`, which came from a peer, as `best`."""
        save_artefact(self.folder / "best", self._whole(shared), self._described(model, value))

    def strategy_state(self, model: int) -> Weights:
        """What was kept beside model number `model`."""
        file = self._state_file(model)
        return safetensors.torch.load_file(file) if file.is_file() else {}

    def _whole(self, shared: Weights) -> Weights:
        # of the initial model only that is needed which no shared one replaces
        self.initial = {name: value for name, value in self.initial.items() if name not in shared}
        return {**self.initial, **shared}

    def _described(self, model: int, value: float | None) -> Artefact:
        return Artefact(
            job=self.job.name,
            job_hash=self.job.hash,
            pipeline=self.job.pipeline,
            pipeline_version=self.pipeline.version,
            config=self.job.config,
            contract=self.pipeline.contract(),
            architecture=self.architecture,
            round=model,
            metric=self.job.selection.metric,
            value=value,
            mediswarm_version=__version__,
        )

    def _write(self, weights: Weights, artefact: Artefact, state: Weights) -> Artefact:
        # the state first: whatever `last` is found after a crash, its state is there
        if state:
            file = self._state_file(artefact.round)
            file.parent.mkdir(exist_ok=True, parents=True)
            safetensors.torch.save_file(state, file)
        written = save_artefact(self.folder / "last", weights, artefact)
        for file in (self.folder / "strategy").glob("*.safetensors"):
            if file != self._state_file(artefact.round):
                file.unlink()
        return written

    def _state_file(self, model: int) -> Path:
        return self.folder / "strategy" / f"{model}.safetensors"

    def wait(self) -> None:
        """Return when the last model is whole on disk.

        Raises:
            OSError: when it could not be written; the model before it is intact.
        """
        if self._writing is not None:
            self._writing.result()

    def promote(self, value: float | None) -> None:
        """Make the present `last` the `best`, with the metric's value; the file is linked, not copied."""
        self.wait()
        last, best = self.folder / "last", self.folder / "best"
        best.mkdir(exist_ok=True)
        partial = best / f".{WEIGHTS_FILE}.partial"
        partial.unlink(missing_ok=True)
        try:
            os.link(last / WEIGHTS_FILE, partial)
        except OSError:  # a file system without hard links
            shutil.copyfile(last / WEIGHTS_FILE, partial)
        put_in_place(best, partial, replace(describe_artefact(last), value=value))

    def find(self, which: str) -> Artefact:
        """What `last` or `best` on disk is, also after a process was killed while it was replaced.

        Raises:
            ArtefactError: MS-A001 when it is not there.
        """
        self.wait()
        repair_artefact(self.folder / which)
        return describe_artefact(self.folder / which)

    def load(self, which: str) -> Weights:
        """The weights of `last` or `best`, checked against the job (ArtefactError otherwise)."""
        self.wait()
        weights, _ = load_artefact(self.folder / which, self.job, self.pipeline.contract(), self.architecture)
        return weights
