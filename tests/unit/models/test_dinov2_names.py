"""DINOv2 as Meta and the Hugging Face Hub publish it, loaded into the network that the library has here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from transformers import Dinov2Config, Dinov2Model

from mediswarm.models.dinov2_names import from_hugging_face, from_meta
from mediswarm.models.mst import SliceTransformerClassifier

WIDTH, LAYERS = 24, 2

AS_META_NAMES_THEM = [
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
]


@pytest.fixture
def library() -> Dinov2Model:
    """The library's network, with a mask token as published ones have, and no number left at its default."""
    torch.manual_seed(4)
    config = Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, image_size=42, patch_size=14
    )
    network = Dinov2Model(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def as_meta(library: Dinov2Model) -> dict[str, torch.Tensor]:
    published = {}
    for own, value in library.state_dict().items():
        name = own
        for pattern, replacement in AS_META_NAMES_THEM:
            name = re.sub(pattern, replacement, name)
        published[name] = value
    for layer in range(LAYERS):
        for kind in ("weight", "bias"):
            parts = [published.pop(f"blocks.{layer}.attention.{part}_proj.{kind}") for part in "qkv"]
            published[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat(parts)
    return published


def as_hugging_face(library: Dinov2Model, folder: Path) -> dict[str, torch.Tensor]:
    # the library writes files with the names of the Hub's
    library.save_pretrained(folder)
    return safetensors.torch.load_file(folder / "model.safetensors")


@torch.inference_mode()
def assert_embeds_like(library: Dinov2Model, weights: dict[str, torch.Tensor]) -> None:
    network = SliceTransformerClassifier(3, WIDTH, LAYERS, 2, image_size=42, slice_layers=1, slice_heads=3)
    network.slice_encoder.load_state_dict(weights)
    volumes = torch.randn(1, 3, 42, 28, 2, generator=torch.Generator().manual_seed(5))
    for z, found in enumerate(network.eval().embed(volumes)[0]):
        expected = library(pixel_values=volumes[..., z]).last_hidden_state[0, 0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_metas_file(library: Dinov2Model) -> None:
    published = as_meta(library)
    assert {"cls_token", "mask_token", "pos_embed", "patch_embed.proj.weight", "norm.bias"} < published.keys()
    assert {name for name in published if name.startswith("blocks.1.")} == {
        *(f"blocks.1.{part}.{kind}" for part in ("norm1", "norm2") for kind in ("weight", "bias")),
        *(f"blocks.1.attn.{part}.{kind}" for part in ("qkv", "proj") for kind in ("weight", "bias")),
        *(f"blocks.1.mlp.{part}.{kind}" for part in ("fc1", "fc2") for kind in ("weight", "bias")),
        *("blocks.1.ls1.gamma", "blocks.1.ls2.gamma"),
    }
    assert_embeds_like(library, from_meta(published))


def test_the_hubs_file(library: Dinov2Model, tmp_path: Path) -> None:
    published = as_hugging_face(library, tmp_path)
    assert "encoder.layer.1.attention.attention.query.weight" in published
    assert "embeddings.mask_token" in published
    assert_embeds_like(library, from_hugging_face(published))


def test_what_is_not_known_keeps_a_name_that_fits_nothing() -> None:
    found = from_meta({"register_tokens": torch.ones(1), "blocks.0.mlp.w12.weight": torch.ones(2)})
    assert set(found) == {"register_tokens", "encoder.layer.0.mlp.w12.weight"}
    # nor does one that is no fused matrix end the program
    assert set(from_meta({"blocks.0.attn.qkv.bias": torch.tensor(1.0)})) == {"encoder.layer.0.attn.qkv.bias"}
    assert set(from_hugging_face({"head.weight": torch.ones(1)})) == {"head.weight"}
