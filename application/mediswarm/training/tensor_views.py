"""Named tensors that wait on disk or travel as halves, read one at a time.

A server that sums thirty sites' updates of a large model holds none of them whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import safetensors
import torch

Tensors = Mapping[str, torch.Tensor]


class TensorView(Tensors):
    """Tensors that are made when they are asked for, each time anew.

    Args:
        names: their names, in order.
        read: gives one of them.
    """

    def __init__(self, names: list[str], read: Callable[[str], torch.Tensor]) -> None:
        self._names, self._read = dict.fromkeys(names), read

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __contains__(self, name: object) -> bool:  # a Mapping's own would read the tensor
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def tensors_in(file: Path) -> Tensors:
    """A view of the tensors in a safetensors file, which must stay as long as the view is used."""

    def read(name: str) -> torch.Tensor:
        with safetensors.safe_open(file, framework="pt") as opened:
            tensor: torch.Tensor = opened.get_tensor(name)
            return tensor

    with safetensors.safe_open(file, framework="pt") as opened:
        return TensorView(list(opened.keys()), read)
