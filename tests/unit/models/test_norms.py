"""Batch normalisations are found and replaced, whatever network they are in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mediswarm.errors import JobError
from mediswarm.models.densenet import densenet_3d
from mediswarm.models.norms import batch_norms, groups_of, to_group_norm
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig


@pytest.mark.parametrize(
    ("features", "groups"),
    [(1, 1), (2, 1), (7, 1), (8, 2), (12, 3), (48, 12), (64, 16), (256, 32), (1024, 32)],
)
def test_groups_are_equal_and_not_too_small(features: int, groups: int) -> None:
    assert groups_of(features) == groups
    assert features % groups == 0


def test_every_batch_norm_of_a_deep_network_is_replaced() -> None:
    network = densenet_3d(1, 3, init_features=8, growth_rate=4, block_config=(1, 2, 1, 1))
    before = network.state_dict()
    values = {name: value.clone() for name, value in before.items()}
    found = batch_norms(network)
    assert found
    to_group_norm(network)
    after = network.state_dict()
    assert not batch_norms(network)
    assert sum(isinstance(module, nn.GroupNorm) for module in network.modules()) == len(found)
    # what is gone is running statistics alone; all else keeps name, shape and value
    gone = values.keys() - after.keys()
    assert {name.rpartition(".")[2] for name in gone} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    assert list(after) == [name for name in values if name not in gone]
    assert all(torch.equal(after[name], values[name]) for name in after)
    network.eval()
    volume = torch.randn(2, 1, 31, 29, 30)
    # nothing of one case is in another's answer, not even in training
    torch.testing.assert_close(network.train()(volume)[:1], network(volume[:1]), rtol=1e-4, atol=1e-5)


def test_group_norm_without_weights_stays_without() -> None:
    network = nn.Sequential(nn.BatchNorm2d(8, affine=False))
    to_group_norm(network)
    assert isinstance(network[0], nn.GroupNorm)
    assert not list(network.parameters())


def odelia(batch_norm: str, norm: str = "batch") -> Odelia:
    backbone = {"name": "cnn3d", "width": 4, "norm": norm}
    small = {"input_size": (16, 16, 8), "backbone": backbone, "batch_norm": batch_norm}
    return Odelia(OdeliaConfig.model_validate(small))


def test_the_policy_decides_what_stays_local() -> None:
    assert odelia("federate").local_parameters == odelia("group").local_parameters == ()
    assert odelia("local").local_parameters == tuple(f"blocks.{block}.1.*" for block in range(4))


@pytest.mark.parametrize("policy", ["local", "group"])
def test_a_network_without_batch_norm_is_refused(policy: str) -> None:
    with pytest.raises(JobError, match="backbone cnn3d has no batch normalisation") as caught:
        odelia(policy, norm="instance")
    assert caught.value.code == "MS-J014"


def test_looking_for_batch_norms_uses_up_no_random_number() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    odelia("local")
    assert torch.equal(torch.rand(1), expected)
