"""Batches of a split: shuffled and even for training, in order for judgement."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from mediswarm.pipelines.base import Cases


class EvenBatches(Sampler[list[int]]):
    """Shuffled batches whose sizes differ by at most one, `batches` of them.

    An epoch of 17 cases at batch size 16 is 9 + 8, not 16 + 1: every case is
    used once, and no batch of one case unsettles batch normalisation. After an
    epoch the cases are shuffled anew.
    """

    def __init__(self, cases: int, batch_size: int, batches: int, generator: torch.Generator) -> None:
        super().__init__()
        self.cases, self.batch_size, self.batches, self.generator = cases, batch_size, batches, generator

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        given = 0
        while given < self.batches:
            order = torch.randperm(self.cases, generator=self.generator)
            for batch in torch.tensor_split(order, math.ceil(self.cases / self.batch_size)):
                if given == self.batches:
                    return
                given += 1
                yield batch.tolist()


def training_batches(
    cases: Cases, batch_size: int, batches: int, generator: torch.Generator, device: torch.device
) -> DataLoader[Any]:
    """`batches` shuffled batches of (input, target)."""
    sampler = EvenBatches(len(cases), batch_size, batches, generator)
    return DataLoader(cases.dataset, batch_sampler=sampler, **_loading(device))


def ordered_batches(cases: Cases, batch_size: int, device: torch.device) -> DataLoader[Any]:
    """All cases in their order."""
    return DataLoader(cases.dataset, batch_size=batch_size, shuffle=False, **_loading(device))


def _loading(device: torch.device) -> dict[str, Any]:
    # Worker processes and pinned memory pay where a GPU would wait for the data;
    # on a CPU they compete with the training for the same cores.
    if device.type != "cuda":
        return {"num_workers": 0}
    return {"num_workers": min(4, max(1, (os.cpu_count() or 2) - 1)), "pin_memory": True}
