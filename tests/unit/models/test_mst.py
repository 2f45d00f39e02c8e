"""The Medical Slice Transformer: DINOv2 as its library has it, and what must not change an answer."""

from __future__ import annotations

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from mediswarm.models.mst import SliceTransformerClassifier
from mediswarm.models.slice_transformer import rotate

WIDTH = 24


@pytest.fixture
def network() -> SliceTransformerClassifier:
    torch.manual_seed(1)
    return SliceTransformerClassifier(3, WIDTH, 2, 2, image_size=42, slice_layers=2, slice_heads=3).eval()


@pytest.fixture
def volumes() -> torch.Tensor:
    return torch.randn(2, 1, 45, 37, 5, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def test_slice_embeddings_are_those_of_the_library(
    network: SliceTransformerClassifier, volumes: torch.Tensor
) -> None:
    config = Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, image_size=42, patch_size=14
    )
    library = Dinov2Model(config).eval()
    left = library.load_state_dict(network.slice_encoder.state_dict(), strict=False)
    assert (left.missing_keys, left.unexpected_keys) == (["embeddings.mask_token"], [])

    found = network.embed(volumes)
    assert found.shape == (2, 5, WIDTH)
    for case, embedded in zip(volumes[:, 0], found, strict=True):
        for z in range(5):
            # 45 x 37 pixels in the middle of 56 x 42, that is 4 x 3 patches
            image = torch.full((3, 56, 42), float(case.min()))
            image[:, 5:50, 2:39] = case[:, :, z]
            expected = library(pixel_values=image[None]).last_hidden_state[0, 0]
            torch.testing.assert_close(embedded[z], expected, rtol=0, atol=1e-5)
    assert float(found.std(dim=1).mean()) > 1e-3


def test_the_default_is_vit_s_14() -> None:
    with torch.device("meta"):
        network = SliceTransformerClassifier(3, 384, 12, 6, image_size=518, slice_layers=1, slice_heads=12)
    mask_token = 384
    parameters = sum(value.numel() for value in network.slice_encoder.parameters())
    assert parameters + mask_token == 22_056_576


@torch.inference_mode()
def test_padding_to_whole_patches_is_what_padding_beforehand_would_be(
    network: SliceTransformerClassifier, volumes: torch.Tensor
) -> None:
    padded = volumes.amin(dim=(2, 3, 4), keepdim=True).repeat(1, 1, 56, 42, 5)
    padded[:, :, 5:50, 2:39] = volumes
    torch.testing.assert_close(network(volumes), network(padded), rtol=0, atol=1e-6)
    moved = padded.roll(2, dims=2)
    assert not torch.allclose(network(volumes), network(moved), atol=1e-6)


@torch.inference_mode()
def test_a_slice_is_embedded_whatever_lies_beside_it(
    network: SliceTransformerClassifier, volumes: torch.Tensor
) -> None:
    more = torch.cat([volumes, torch.full((2, 1, 45, 37, 3), float(volumes.min()))], dim=-1)
    # the same minimum, hence the same padding
    lowest = volumes.amin(dim=(2, 3, 4), keepdim=True)
    more[..., 5:] = lowest
    torch.testing.assert_close(network.embed(more)[:, :5], network.embed(volumes), rtol=0, atol=1e-5)
    blank = network.embed(more)[:, 5:]
    torch.testing.assert_close(blank[:, 0], blank[:, 2], rtol=0, atol=1e-6)


@torch.inference_mode()
def test_the_order_of_slices_counts_and_the_batch_does_not(
    network: SliceTransformerClassifier, volumes: torch.Tensor
) -> None:
    logits = network(volumes)
    assert not torch.allclose(network(volumes.flip(-1)), logits, atol=1e-6)
    torch.testing.assert_close(network(volumes.flip(0)).flip(0), logits, rtol=0, atol=1e-6)


def test_rotated_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(3)
    query, key = torch.randn(1, 2, 1, 8, dtype=torch.float64), torch.randn(1, 2, 1, 8, dtype=torch.float64)

    def product(one: int, other: int) -> torch.Tensor:
        turned, met = rotate(query, torch.tensor([one])), rotate(key, torch.tensor([other]))
        return (turned * met).sum(dim=-1)

    torch.testing.assert_close(product(3, 7), product(20, 24), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(product(3, 7), product(7, 3), atol=1e-3)
    torch.testing.assert_close(rotate(query, torch.tensor([5])).norm(), query.norm(), rtol=1e-5, atol=0)
    torch.testing.assert_close(rotate(query, torch.tensor([0])), query)
