"""Volumes of a split, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from mediswarm.data.volume_cache import VolumeCache
from mediswarm.data.volume_codes import CodedVolume
from mediswarm.data.volumes import normalise, read_volume

_REMEMBERED_BYTES = 512 * 2**20


class VolumeDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Normalised volumes `[channels, x, y, z]`, float32, and labels.

    With or without a cache the voxels are the same, rounded to 16 bits. Without
    one, a split that fits into 512 MiB stays in memory once it was read. What
    was read is not to be written to.
    """

    def __init__(
        self,
        files: Sequence[Sequence[Path]],
        labels: torch.Tensor,
        size: tuple[int, ...],
        cache: VolumeCache | None = None,
    ) -> None:
        """`files` holds for each case one file for each channel; `labels` are [n] or [n, labels of a case].

        `size` is in voxels [x, y, z].
        """
        self.files, self.labels, self.size, self.cache = files, labels, size, cache
        needed = 4 * sum(len(channels) for channels in files) * int(np.prod(size))
        small = cache is None and needed <= _REMEMBERED_BYTES
        self._memory: dict[int, torch.Tensor] | None = {} if small else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Raises DataError MS-D120 to MS-D124 or MS-D127 when a volume cannot be used."""
        if self._memory is None:
            return self._read(index), self.labels[index]
        if index not in self._memory:
            self._memory[index] = self._read(index)
        return self._memory[index], self.labels[index]

    def _read(self, index: int) -> torch.Tensor:
        files = self.files[index]
        case = np.empty((len(files), *self.size), dtype=np.float32)
        for file, out in zip(files, case, strict=True):
            self._coded(file).into(out)
        return torch.from_numpy(case)

    def _coded(self, file: Path) -> CodedVolume:
        if self.cache is not None:
            return self.cache.volume(file)
        return CodedVolume.of(normalise(read_volume(file)))
