"""The `pretrained:` section: where the first model's weights come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mediswarm.spec.strict import Strict


class Pretrained(Strict):
    """A safetensors file of the weights store, by its digest; nothing is ever downloaded.

    Only the machine that makes the first model needs the file; sites receive it in round 0.
    """

    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="the file's digest, as `mediswarm weights add` prints it"
    )
    names: Literal["model", "dinov2_meta", "dinov2_hugging_face"] = Field(
        "model",
        description="whose names the file has: the model's, or those of DINOv2 as Meta publishes it or as "
        "the Hugging Face Hub has it, which become those of the network (the mask token is left out) before "
        "`prefixes` are applied",
    )
    prefixes: dict[str, str] = Field(
        default_factory=lambda: {"": ""},
        min_length=1,
        description="what a name begins with in the file, and what instead in the model; the longest that "
        "fits counts, and tensors that fit none are left out. By default, names stay as they are",
    )
