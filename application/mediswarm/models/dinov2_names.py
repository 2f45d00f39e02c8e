"""Published DINOv2 weights under the names that the network of `transformers` has here."""

from __future__ import annotations

from collections.abc import Mapping

import torch

Names = dict[str, str]

_FUSED = "attn.qkv"
_PARTS = ("attention.q_proj", "attention.k_proj", "attention.v_proj")

_META: Names = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
_META_LAYER: Names = {
    "attn.proj": "attention.o_proj",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
}
_HUGGING_FACE_LAYER: Names = {
    "attention.attention.query": _PARTS[0],
    "attention.attention.key": _PARTS[1],
    "attention.attention.value": _PARTS[2],
    "attention.output.dense": "attention.o_proj",
}


def from_meta(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as Meta's repository names them (`dinov2_vits14_pretrain.pth`), for a `Dinov2Model`.

    Queries, keys and values, one tensor there, become three. The mask token is left out; what
    these tables do not know keeps its name, and then fits no model.
    """
    found: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        layer, part, kind = _split(name, "blocks.")
        if layer is None:
            found[_META.get(part, part) + kind] = value
        elif part == _FUSED and value.ndim:
            pieces = zip(_PARTS, value.tensor_split(len(_PARTS)), strict=True)
            found |= {f"encoder.layer.{layer}.{piece}{kind}": chunk.clone() for piece, chunk in pieces}
        else:
            found[f"encoder.layer.{layer}.{_META_LAYER.get(part, part)}{kind}"] = value
    found.pop("mask_token", None)
    return found


def from_hugging_face(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as the Hugging Face Hub has them (`facebook/dinov2-small`), for a `Dinov2Model`.

    Attention has other names there than in today's network. The mask token is left out; what the
    table does not know keeps its name.
    """
    found: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        layer, part, kind = _split(name, "encoder.layer.")
        if layer is None:
            found[name] = value
        else:
            found[f"encoder.layer.{layer}.{_HUGGING_FACE_LAYER.get(part, part)}{kind}"] = value
    found.pop("embeddings.mask_token", None)
    return found


def _split(name: str, layers: str) -> tuple[str | None, str, str]:
    """The layer's number (None outside of the layers), the part's name, and `.weight`, `.bias` or nothing."""
    kind = next((ending for ending in (".weight", ".bias") if name.endswith(ending)), "")
    rest = name.removesuffix(kind)
    if not rest.startswith(layers):
        return None, rest, kind
    layer, _, part = rest.removeprefix(layers).partition(".")
    return layer, part, kind
