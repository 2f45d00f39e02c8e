"""What a job's model and one step of its training take: parameters, memory, seconds."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mediswarm.errors import HostError, PipelineError, code_of
from mediswarm.pipelines.base import Cases, Pipeline, SiteData
from mediswarm.pipelines.learner import RoundPlan
from mediswarm.spec import Job, LocalWork, Schedule
from mediswarm.training.torch_learner import TorchLearner

# on CUDA so many that starting the loader's workers does not count
_STEPS = {"cpu": 1, "cuda": 20}


@dataclass(frozen=True)
class ModelSize:
    """Parameters of a model, and the bytes in memory of parameters and buffers."""

    parameters: int
    bytes: int


@dataclass(frozen=True)
class StepEstimate:
    """One training step as measured on `device`, with `batch_size` cases.

    `peak_bytes` is what CUDA had allocated at most; on a CPU, the largest this process has been.
    """

    device: str
    batch_size: int
    seconds_per_case: float
    peak_bytes: int


def model_size(pipeline: Pipeline[Any]) -> ModelSize | None:
    """The size of `pipeline.model()`; None where this machine lacks what the model needs."""
    try:
        model = _without_memory(pipeline) or pipeline.model()
    except HostError:
        return None
    state = model.state_dict().values()
    return ModelSize(
        sum(value.numel() for value in model.parameters()),
        sum(value.numel() * value.element_size() for value in state),
    )


def _without_memory(pipeline: Pipeline[Any]) -> nn.Module | None:
    """The model with shapes alone, seconds faster; None where a network reads its own values."""
    try:
        with torch.device("meta"):
            return pipeline.model()
    except (RuntimeError, TypeError):
        return None


def estimate_step(job: Job, pipeline: Pipeline[Any], device: str) -> StepEstimate:
    """Train `pipeline.model()` on random numbers: a step that is not counted, then those that are.

    Reading of data is left out, and so is the accumulation of gradients: a step is one batch.

    Raises:
        PipelineError: MS-P005 when the contract does not say what a case looks like, or when the
            pipeline has a learner of its own.
        HostError: MS-H002 no such device; MS-H003 out of memory.
    """
    contract = pipeline.contract()
    if not {"input_shape", "classes"} <= contract.keys() or type(pipeline).learner is not Pipeline.learner:
        raise PipelineError(
            "MS-P005",
            f"pipeline {job.pipeline} does not classify inputs of a declared shape with the PyTorch learner",
        )
    size = job.training.batch_size
    cases = Cases.of(
        torch.randn(size, *contract["input_shape"]), torch.randint(len(contract["classes"]), (size,))
    )
    try:
        learner = TorchLearner(pipeline, SiteData(cases, cases, cases), job.training, device)
        _train(learner, job, 1)
        if learner.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(learner.device)
        steps = _STEPS[learner.device.type]
        started = time.perf_counter()
        _train(learner, job, steps)
        seconds = time.perf_counter() - started
    except RuntimeError as error:
        if code_of(error) != "MS-H003":
            raise
        raise HostError("MS-H003", f"a step of {size} cases does not fit on {device}") from error
    return StepEstimate(device, size, seconds / (steps * size), _peak(learner.device))


def _train(learner: TorchLearner, job: Job, steps: int) -> None:
    """`steps` batches, each with an optimizer step."""
    changed = {"local": LocalWork(steps=steps), "accumulate": 1, "schedule": Schedule()}
    learner.training = job.training.model_copy(update=changed)
    learner.train(RoundPlan(round=0, rounds=1, seed=0))
    if learner.device.type == "cuda":
        torch.cuda.synchronize(learner.device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # the kernel counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
