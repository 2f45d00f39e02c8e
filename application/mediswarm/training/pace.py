"""How many steps a round has, and the learning rate at each."""

from __future__ import annotations

import math

from mediswarm.spec import LocalWork, Schedule, Training


def local_epochs(work: LocalWork, cases: int) -> int:
    """Epochs in one round for a site of `cases` training cases; 0 when the job counts steps."""
    if work.epochs is not None:
        return work.epochs
    if work.epochs_scaled is not None:
        scaled = work.epochs_scaled
        return min(max(round(scaled.reference_cases / cases), scaled.minimum), scaled.maximum)
    return 0


def batches_per_round(training: Training, cases: int) -> int:
    """Batches that are read in one round at a site of `cases` training cases."""
    if training.local.steps is not None:
        return training.local.steps * training.accumulate
    return local_epochs(training.local, cases) * math.ceil(cases / training.batch_size)


def steps_per_round(training: Training, cases: int) -> int:
    """Optimizer steps in one round at a site of `cases` training cases."""
    return math.ceil(batches_per_round(training, cases) / training.accumulate)


def learning_rate_factor(schedule: Schedule, progress: float) -> float:
    """Share of the peak learning rate at `progress` in [0, 1] of the whole run."""
    if schedule.warmup and progress < schedule.warmup:
        return progress / schedule.warmup
    if schedule.name == "constant":
        return 1.0
    after = (progress - schedule.warmup) / (1.0 - schedule.warmup)
    fall = (1 + math.cos(math.pi * after)) / 2 if schedule.name == "cosine" else 1 - after
    return schedule.final + (1 - schedule.final) * fall
