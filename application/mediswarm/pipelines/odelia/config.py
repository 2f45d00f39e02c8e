"""The `config:` section of a job with pipeline `odelia`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from typing_extensions import Self

from mediswarm.models.heads import Head
from mediswarm.pipelines.odelia.backbones import Backbone, Densenet121, misfit
from mediswarm.spec import Strict

_FEWEST_CLASSES = 2
_ONE_BREAST, _BOTH_BREASTS = (224, 224, 32), (448, 224, 32)
_USUAL_TURN_OF_BOTH = 15.0
_LARGEST_TURN_OF_BOTH = 45.0
"""Degrees up to which what lies beside the axis of turning, rather than before it, stays on its side."""


def _usual_size(before: dict[str, Any]) -> tuple[int, int, int]:
    return _BOTH_BREASTS if before.get("laterality") == "original" else _ONE_BREAST


def _usual_changes(before: dict[str, Any]) -> Augmentation:
    both = before.get("laterality") == "original"
    return Augmentation(rotation_degrees=_USUAL_TURN_OF_BOTH) if both else Augmentation()


class Augmentation(Strict):
    """Random changes of training volumes after the crop; each volume is turned or flipped, not both."""

    rotation_degrees: float = Field(
        90.0, description="largest turn about z, either way; 0: every volume is flipped instead", ge=0, le=180
    )
    noise_std: float = Field(
        0.25,
        description="largest standard deviation of the Gaussian noise, where that of the volume is 1",
        ge=0,
        allow_inf_nan=False,
    )


class OdeliaConfig(Strict):
    """Which images, which classes, which network."""

    laterality: Literal["unilateral", "original"] = Field(
        "unilateral",
        description="unilateral: an image and a label for each breast; original: an image of both breasts "
        "with a label for each side",
    )
    classes: tuple[str, ...] = Field(
        ("none", "benign", "malignant"),
        description="ordered class names; the column Lesion (original: Lesion_Left and Lesion_Right) holds "
        "the index",
        min_length=_FEWEST_CLASSES,
    )
    channels: tuple[str, ...] = Field(
        ("Sub_1",), description="image files of a case, without .nii.gz, one for each channel", min_length=1
    )
    input_size: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default_factory=_usual_size,
        description="voxels from left to right, back to front and bottom to top, or 224 × 224 × 32 "
        "(original: 448 × 224 × 32); volumes are cropped (at random for training, else about the centre) "
        "and padded",
    )
    fold: NonNegativeInt = Field(0, description="rows of split.csv with this Fold are used")
    backbone: Backbone = Field(default_factory=Densenet121, description="the network, or densenet121")
    augmentation: Augmentation = Field(
        default_factory=_usual_changes,
        description="random changes of training volumes; in original, a flip from left to right swaps the "
        "labels too, and rotation_degrees is 45 at most, 15 without this section",
    )
    head: Head = Field(
        "softmax",
        description="what the network's outputs mean; ordinal (CORN) uses that the classes are in order",
    )
    batch_norm: Literal["federate", "local", "group"] = Field(
        "federate",
        description="batch normalisations: averaged like all else, kept at each site (FedBN), or replaced "
        "by group normalisations before the first model is made",
    )

    @field_validator("classes", "channels")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise ValueError("contradiction: names must be different and not empty")
        return names

    @field_validator("channels")
    @classmethod
    def _names_of_files(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if "/" in name or "\\" in name or name.endswith((".nii.gz", ".nii")):
                raise ValueError(
                    f"contradiction: {name!r}; a channel is a file's name without .nii.gz, and no path"
                )
        return names

    @model_validator(mode="after")
    def _sides_stay_sides(self) -> Self:
        turn = self.augmentation.rotation_degrees
        if self.laterality == "original" and turn > _LARGEST_TURN_OF_BOTH:
            given = "rotation_degrees" in self.augmentation.model_fields_set
            usual = "" if given else ", the default of the section augmentation"
            raise ValueError(
                f"contradiction: laterality original and augmentation.rotation_degrees {turn:g}{usual}; "
                f"turned by more than {_LARGEST_TURN_OF_BOTH:g} degrees, "
                "a left breast is no longer at the left"
            )
        return self

    @model_validator(mode="after")
    def _backbone_fits(self) -> Self:
        if why := misfit(self.backbone, len(self.channels), self.input_size):
            raise ValueError(f"contradiction: {why}")
        return self
