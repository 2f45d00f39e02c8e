"""The `config:` section of a job with pipeline `odelia`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from typing_extensions import Self

from mediswarm.models.heads import Head
from mediswarm.pipelines.odelia.backbones import Backbone, Densenet121, misfit
from mediswarm.spec import Strict

_FEWEST_CLASSES = 2


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

    classes: tuple[str, ...] = Field(
        ("none", "benign", "malignant"),
        description="ordered class names; the column Lesion holds the index",
        min_length=_FEWEST_CLASSES,
    )
    channels: tuple[str, ...] = Field(
        ("Sub_1",), description="image files of a case, without .nii.gz, one for each channel", min_length=1
    )
    input_size: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        (224, 224, 32),
        description="voxels from left to right, back to front and bottom to top; volumes are cropped (at "
        "random for training, else about the centre) and padded",
    )
    fold: NonNegativeInt = Field(0, description="rows of split.csv with this Fold are used")
    backbone: Backbone = Field(default_factory=Densenet121, description="the network, or densenet121")
    augmentation: Augmentation = Field(
        default_factory=Augmentation, description="random changes of training volumes"
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

    @model_validator(mode="after")
    def _backbone_fits(self) -> Self:
        if why := misfit(self.backbone, len(self.channels), self.input_size):
            raise ValueError(f"contradiction: {why}")
        return self
