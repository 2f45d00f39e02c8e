"""The `config:` section of a job with pipeline `odelia`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from typing_extensions import Self

from mediswarm.models.cnn3d import Norm
from mediswarm.models.densenet import SMALLEST_AXIS
from mediswarm.spec import Strict

_FEWEST_CLASSES = 2


class Densenet121(Strict):
    """DenseNet for volumes; the defaults are DenseNet-121."""

    name: Literal["densenet121"] = Field("densenet121", description="DenseNet for volumes")
    init_features: PositiveInt = Field(64, description="features of the first convolution")
    growth_rate: PositiveInt = Field(32, description="features that each layer adds")
    block_config: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        (6, 12, 24, 16), description="layers in each of the four dense blocks"
    )


class SmallCnn(Strict):
    """Four convolution blocks, for small volumes and CPUs."""

    name: Literal["cnn3d"] = Field("cnn3d", description="small network of four blocks")
    width: PositiveInt = Field(16, multiple_of=4, description="features of the first block, doubled in each")
    norm: Norm = Field("batch", description="normalisation after each convolution")


Backbone = Annotated[Densenet121 | SmallCnn, Field(discriminator="name")]


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
        description="voxels along the axes of the NIfTI file, slices last; volumes are cropped and padded",
    )
    fold: NonNegativeInt = Field(0, description="rows of split.csv with this Fold are used")
    backbone: Backbone = Field(default_factory=Densenet121, description="the network, or densenet121")

    @field_validator("classes", "channels")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise ValueError("contradiction: names must be different and not empty")
        return names

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if isinstance(self.backbone, Densenet121) and min(self.input_size) < SMALLEST_AXIS:
            raise ValueError(
                f"contradiction: backbone densenet121 needs at least {SMALLEST_AXIS} voxels along each axis, "
                f"and input_size is {list(self.input_size)}; use backbone cnn3d or a larger input_size"
            )
        return self
