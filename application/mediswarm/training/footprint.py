"""What a job's model and one step of its training take: parameters, memory, seconds."""

from __future__ import annotations

import multiprocessing
import platform
import re
import signal
import time
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mediswarm.data.worker_process import end_with_parent
from mediswarm.errors import HostError, MediSwarmError, PipelineError, RunCrashed, code_of
from mediswarm.pipelines.base import Pipeline, SiteData
from mediswarm.pipelines.find import load_pipeline
from mediswarm.pipelines.learner import RoundPlan
from mediswarm.spec import Job, LocalWork, Schedule
from mediswarm.training.kept_figures import ModelSize, StepEstimate
from mediswarm.training.torch_learner import TorchLearner

# on CUDA so many that starting the loader's workers does not count
_STEPS = {"cpu": 1, "cuda": 20}


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


def measure_step(job: Job, device: str) -> StepEstimate:
    """:func:`estimate_step` in a process of its own, so that the memory is that of this job alone.

    Raises:
        PipelineError, HostError: as :func:`estimate_step`; MS-H003 also when the system killed the process.
        RunCrashed: MS-R006 when the process died in another way.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_measure_here, args=(job, device, sending))
    process.start()
    sending.close()
    try:
        found: StepEstimate | Exception = receiving.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            message = f"the process that measured {job.name} was killed, as happens when memory ends"
            raise HostError("MS-H003", message) from None
        message = f"the process that measured {job.name} ended with {process.exitcode}"
        raise RunCrashed("MS-R006", message) from None
    finally:
        process.kill()
        process.join()
        receiving.close()
    if isinstance(found, Exception):
        raise found
    return found


def _measure_here(job: Job, device: str, answer: Connection) -> None:
    end_with_parent()
    try:
        answer.send(estimate_step(job, load_pipeline(job), device))
    except MediSwarmError as error:
        answer.send(error)
    except Exception as error:  # noqa: BLE001 - of any kind, some of which do not go through a pipe
        answer.send(RuntimeError(f"{type(error).__name__}: {error}"))


def estimate_step(job: Job, pipeline: Pipeline[Any], device: str) -> StepEstimate:
    """Train `pipeline.model()` on random numbers: a step that is not counted, then those that are.

    Reading of data is left out, and so is the accumulation of gradients: a step is one batch. On a CPU
    the memory is that of this process since it began.

    Raises:
        PipelineError: MS-P005 when the pipeline does not say what a case looks like, or has a learner
            of its own.
        HostError: MS-H002 no such device; MS-H003 out of memory.
    """
    size = job.training.batch_size
    try:
        cases = pipeline.example(size)
        if cases is None or type(pipeline).learner is not Pipeline.learner:
            raise PipelineError(
                "MS-P005",
                f"pipeline {job.pipeline} has no inputs of a declared shape, or a learner of its own",
            )
        learner = TorchLearner(pipeline, SiteData(cases, cases, cases), job.training, device)
        _train(learner, job, 1)
        if learner.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(learner.device)
        steps = _STEPS[learner.device.type]
        started, worked = time.perf_counter(), time.process_time()
        _train(learner, job, steps)
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
    except (RuntimeError, MemoryError) as error:
        if code_of(error) != "MS-H003":
            raise
        raise HostError("MS-H003", f"a step of {size} cases does not fit on {device}") from error
    return StepEstimate(
        device=device,
        device_name=_name(learner.device),
        threads=torch.get_num_threads(),
        batch_size=size,
        seconds_per_case=seconds / (steps * size),
        processor_seconds_per_case=worked / (steps * size),
        peak_bytes=_peak(learner.device),
        measured=datetime.now(timezone.utc).date().isoformat(),
    )


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
    # not ru_maxrss, which a process takes over from the one that started it
    (kib,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(kib) * 1024


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    said = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    # on ARM the kernel does not name the model
    names = re.findall(r"model name\s*:\s*(.*)", said)
    return str(names[0]) if names else platform.machine()
