"""The networks take what the pipelines give them."""

from __future__ import annotations

import pytest
import torch

from mediswarm.models.cnn3d import Cnn3d, Norm
from mediswarm.models.densenet import SMALLEST_AXIS, densenet_3d


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
@pytest.mark.parametrize("size", [(16, 16, 8), (9, 7, 1)])
def test_cnn3d_gives_one_logit_per_class(norm: Norm, size: tuple[int, int, int]) -> None:
    network = Cnn3d(2, 3, width=4, norm=norm).eval()
    assert network(torch.randn(2, 2, *size)).shape == (2, 3)


def test_cnn3d_learns_from_every_parameter() -> None:
    network = Cnn3d(1, 2, width=4)
    network(torch.randn(4, 1, 16, 16, 8)).sum().backward()
    assert all(value.grad is not None for value in network.parameters())


def test_densenet_takes_its_smallest_volume() -> None:
    network = densenet_3d(1, 3, init_features=4, growth_rate=2, block_config=(1, 1, 1, 1)).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 1, *[SMALLEST_AXIS] * 3)).shape == (1, 3)
        with pytest.raises(RuntimeError):
            network(torch.randn(1, 1, *[SMALLEST_AXIS - 1] * 3))


def test_the_default_densenet_is_densenet_121() -> None:
    network = densenet_3d(1, 3, init_features=64, growth_rate=32, block_config=(6, 12, 24, 16))
    convolutions = sum(isinstance(module, torch.nn.Conv3d) for module in network.modules())
    assert convolutions + 1 == 121
