"""Named tensors that wait on disk or travel as halves, read one at a time.

A server that sums thirty sites' updates of a large model holds none of them whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import safetensors
import torch

Tensors = Mapping[str, torch.Tensor]
Shape = tuple[int, ...]


class TensorView(Tensors):
    """Tensors that are made when they are asked for, each time anew.

    Args:
        names: their names, in order.
        read: gives one of them.
        shape: gives the shape of one without reading it.
    """

    def __init__(
        self, names: list[str], read: Callable[[str], torch.Tensor], shape: Callable[[str], Shape]
    ) -> None:
        self._names, self._read, self.shape = dict.fromkeys(names), read, shape

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


def shape_of(tensors: Tensors, name: str) -> Shape:
    """The shape of one tensor, which is not read for it where it is on disk."""
    return tensors.shape(name) if isinstance(tensors, TensorView) else tuple(tensors[name].shape)


def tensor_in(file: Path | str, name: str) -> torch.Tensor:
    """One tensor of a safetensors file."""
    with safetensors.safe_open(file, framework="pt") as opened:
        tensor: torch.Tensor = opened.get_tensor(name)
        return tensor


def shape_in(file: Path | str, name: str) -> Shape:
    """The shape of one tensor of a safetensors file, from its header."""
    with safetensors.safe_open(file, framework="pt") as opened:
        return tuple(opened.get_slice(name).get_shape())


def tensors_in(file: Path) -> TensorView:
    """A view of the tensors in a safetensors file, which must stay as long as the view is used."""
    with safetensors.safe_open(file, framework="pt") as opened:
        names = list(opened.keys())
    return TensorView(names, lambda name: tensor_in(file, name), lambda name: shape_in(file, name))
