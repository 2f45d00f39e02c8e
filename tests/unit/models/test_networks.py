"""The networks take what the pipelines give them."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from monai.networks.nets import resnet as monai_resnet
from monai.networks.nets import swin_unetr as monai_swin_unetr

from mediswarm.errors import HostError
from mediswarm.models.attention_mil import AttentionMil
from mediswarm.models.cnn3d import Cnn3d, Norm
from mediswarm.models.densenet import SMALLEST_AXIS, densenet_3d
from mediswarm.models.image_inputs import pad_to_multiples
from mediswarm.models.mvit import MvitClassifier
from mediswarm.models.residual_encoder import ResidualEncoderClassifier
from mediswarm.models.resnet import Depth, resnet_3d
from mediswarm.models.swin_unetr import SwinUnetrClassifier


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


@pytest.mark.parametrize("depth", get_args(Depth))
def test_a_resnet_has_the_weights_of_its_name(depth: Depth) -> None:
    with torch.device("meta"):
        ours = resnet_3d(1, 3, depth, width=64).state_dict()
        theirs = getattr(monai_resnet, f"resnet{depth}")(n_input_channels=1, num_classes=3).state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }
    convolutions = sum(value.dim() == 5 and "downsample" not in name for name, value in ours.items())
    assert convolutions + 1 == depth


@torch.inference_mode()
def test_a_resnet_keeps_the_slices_in_its_first_convolution() -> None:
    network = resnet_3d(1, 3, 10, width=4).eval()
    seen: list[torch.Size] = []
    for module in (network.conv1, network.layer4):
        module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[2:]))
    network(torch.randn(1, 1, 45, 37, 9))
    assert [tuple(shape) for shape in seen] == [(23, 19, 9), (2, 2, 1)]


@torch.inference_mode()
def test_the_swin_encoder_gives_what_monai_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def channels_moved(tokens: torch.Tensor, pattern: str) -> torch.Tensor:
        """What MONAI's encoder asks of einops, which is not installed."""
        return tokens.movedim(1, -1) if pattern.endswith(" c") else tokens.movedim(-1, 1)

    torch.manual_seed(1)
    network = SwinUnetrClassifier(1, 3, 12, (2, 1, 2, 1), (3, 6, 12, 24)).eval()
    volumes = torch.randn(1, 1, 37, 33, 9)
    found = network.deepest(volumes)
    monkeypatch.setattr(monai_swin_unetr, "rearrange", channels_moved)
    expected = network.encoder(volumes, normalize=False)[-1]
    assert found.shape == (1, 2, 2, 1, 12 * 16)
    torch.testing.assert_close(found.movedim(-1, 1), expected)


@torch.inference_mode()
def test_the_residual_encoder_halves_the_plane_five_times_and_the_slices_three_times() -> None:
    network = ResidualEncoderClassifier(1, 3, (4, 4, 8, 8, 8, 8), (1, 2, 1, 1, 1, 1)).eval()
    seen: list[tuple[int, ...]] = []
    for stage in network.stages:
        stage.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[1:])))
    assert network(torch.randn(1, 1, 64, 70, 9)).shape == (1, 3)
    assert seen == [
        (4, 64, 70, 9),
        (4, 32, 35, 9),
        (8, 16, 18, 9),
        (8, 8, 9, 5),
        (8, 4, 5, 3),
        (8, 2, 3, 2),
    ]
    norms = [module for module in network.modules() if isinstance(module, torch.nn.InstanceNorm3d)]
    assert norms
    assert all(norm.affine and not norm.track_running_stats for norm in norms)


@torch.inference_mode()
def test_attention_over_slices_does_not_know_their_order() -> None:
    torch.manual_seed(2)
    network = AttentionMil(2, 3, width=8, attention=8).eval()
    volumes = torch.randn(2, 2, 19, 16, 5)
    logits = network(volumes)
    torch.testing.assert_close(network(volumes[..., [3, 1, 4, 0, 2]]), logits, rtol=1e-4, atol=1e-5)
    # shares of attention sum to 1: slices that are there twice weigh as before
    torch.testing.assert_close(network(volumes.repeat(1, 1, 1, 1, 2)), logits, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(volumes[..., :4]), logits, atol=1e-5)


def test_mvit_is_torchvisions_mvit_v2_s() -> None:
    with torch.device("meta"):
        try:
            ours = MvitClassifier(3, (224, 224, 16), 96, (1, 2, 11, 2)).network
        except HostError as error:
            pytest.skip(error.message)
        from torchvision.models.video import mvit_v2_s

        theirs = mvit_v2_s(num_classes=3)
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }


def test_padding_is_about_the_centre_and_has_the_lowest_value_of_the_channel() -> None:
    volumes = torch.randn(2, 2, 5, 4, 3)
    padded = pad_to_multiples(volumes, (4, 4, 2))
    assert padded.shape == (2, 2, 8, 4, 4)
    torch.testing.assert_close(padded[:, :, 1:6, :, :3], volumes, rtol=0, atol=0)
    lowest = volumes.amin(dim=(2, 3, 4))
    assert torch.equal(padded[:, :, 0, 0, 0], lowest)
    assert torch.equal(padded[:, :, 6:].amax(dim=(2, 3, 4)), lowest)
    assert pad_to_multiples(volumes, (5, 2, 3)) is volumes
