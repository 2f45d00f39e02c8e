"""Batches of a split: shuffled and even for training, in order for judgement."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, default_collate

from mediswarm.errors import MediSwarmError
from mediswarm.pipelines.base import Cases, Collating, Drawable

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where PyTorch's workers put batches, not a place for files
_MOST_WORKERS, _AHEAD = 4, 2


class EvenBatches(Sampler[list[int]]):
    """Shuffled batches whose sizes differ by at most one, `batches` of them.

    An epoch of 17 cases at batch size 16 is 9 + 8, not 16 + 1: every case is
    used once, and no batch of one case unsettles batch normalisation. After an
    epoch the cases are shuffled anew. Where `tell_epoch`, case `i` is given as ``epoch * cases + i``.
    """

    def __init__(
        self,
        cases: int,
        batch_size: int,
        batches: int,
        generator: torch.Generator,
        *,
        tell_epoch: bool = False,
    ) -> None:
        super().__init__()
        self.cases, self.batch_size, self.batches, self.generator = cases, batch_size, batches, generator
        self.tell_epoch = tell_epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        given = first = 0
        while given < self.batches:
            order = first + torch.randperm(self.cases, generator=self.generator)
            first += self.cases if self.tell_epoch else 0
            for batch in torch.tensor_split(order, math.ceil(self.cases / self.batch_size)):
                if given == self.batches:
                    return
                given += 1
                yield batch.tolist()


def training_batches(
    cases: Cases, batch_size: int, batches: int, generator: torch.Generator, device: torch.device
) -> Iterator[Any]:
    """`batches` shuffled batches of (input, target).

    A data set that is Drawable draws by the seed that `generator` began with.
    """
    dataset, drawable = cases.dataset, isinstance(cases.dataset, Drawable)
    if isinstance(dataset, Drawable):
        dataset = dataset.drawn(generator.initial_seed())
    sampler = EvenBatches(len(cases), batch_size, batches, generator, tell_epoch=drawable)
    return _batches(dataset, sampler, batch_size, device)


def ordered_batches(cases: Cases, batch_size: int, device: torch.device) -> Iterator[Any]:
    """All cases in their order."""
    sampler = BatchSampler(range(len(cases)), batch_size, drop_last=False)
    return _batches(cases.dataset, sampler, batch_size, device)


def _batches(
    dataset: Dataset[Any], sampler: Sampler[list[int]], batch_size: int, device: torch.device
) -> Iterator[Any]:
    # Worker processes and pinned memory pay where a GPU would wait for the data;
    # on a CPU they compete with the training for the same cores.
    if device.type != "cuda":
        return iter(DataLoader(dataset, batch_sampler=sampler, collate_fn=_collate(dataset)))
    workers = worker_count(_bytes(dataset[getattr(dataset, "largest", 0)]) * batch_size)
    return read_by_workers(dataset, sampler, workers, pin_memory=True)


def _collate(dataset: Dataset[Any]) -> Callable[[list[Any]], Any]:
    return dataset.collate if isinstance(dataset, Collating) else default_collate


def worker_count(batch_bytes: int) -> int:
    """How many processes may read batches of this size: none where they would not pay or not work.

    Workers hand batches over in shared memory, some of them ahead of time. Where it is full, they
    die of a bus error (R12), so it must have room for all batches that may lie in it.
    """
    try:
        room = shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        return 0
    cores = len(os.sched_getaffinity(0))
    return max(0, min(_MOST_WORKERS, cores - 1, room // ((_AHEAD + 1) * max(1, batch_bytes))))


def read_by_workers(
    dataset: Dataset[Any], sampler: Sampler[list[int]], workers: int, *, pin_memory: bool
) -> Iterator[Any]:
    """Batches of `dataset` read by processes; by this one when `workers` is 0.

    An error with a code is raised here as it was raised there. DataLoader would make a
    RuntimeError of it, whose text is a stack trace.
    """
    loader = DataLoader(
        _Carrying(dataset),
        batch_sampler=sampler,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=pin_memory,
        collate_fn=partial(_error_or_batch, _collate(dataset)),
    )
    for batch in loader:
        if isinstance(batch, MediSwarmError):
            raise batch
        yield batch


class _Carrying(Dataset[Any]):
    """A data set that gives an error with a code as if it were a case."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except MediSwarmError as error:
            return error


def _error_or_batch(collate: Callable[[list[Any]], Any], cases: list[Any]) -> Any:
    errors = [case for case in cases if isinstance(case, MediSwarmError)]
    return errors[0] if errors else collate(cases)


def _bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0
