"""The models of a run on disk: `last` after every round, `best` by the declared metric."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

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

    def save_last(self, shared: Weights, model: int) -> None:
        """Write model number `model` while the run goes on; the tensors must not be written to.

        Raises:
            OSError: what became of the write before this one, such as a full disk.
        """
        self.wait()
        artefact = Artefact(
            job=self.job.name,
            job_hash=self.job.hash,
            pipeline=self.job.pipeline,
            pipeline_version=self.pipeline.version,
            config=self.job.config,
            contract=self.pipeline.contract(),
            architecture=self.architecture,
            round=model,
            metric=self.job.selection.metric,
            value=None,
            mediswarm_version=__version__,
        )
        weights = {**self.initial, **shared}
        self._writing = self._writer.submit(save_artefact, self.folder / "last", weights, artefact)

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

    def load(self, which: str) -> Weights:
        """The weights of `last` or `best`, checked against the job (ArtefactError otherwise)."""
        self.wait()
        weights, _ = load_artefact(self.folder / which, self.job, self.pipeline.contract(), self.architecture)
        return weights
