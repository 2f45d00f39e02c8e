"""The networks that a job with pipeline `odelia` can name, with their sizes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator
from torch import nn
from typing_extensions import Self, override

from mediswarm.models import attention_mil, densenet, mst, mvit, residual_encoder, resnet
from mediswarm.models.cnn3d import Cnn3d, Norm
from mediswarm.models.image_inputs import COLOURS
from mediswarm.models.swin_unetr import SwinUnetrClassifier
from mediswarm.spec import Strict

Size = tuple[PositiveInt, PositiveInt, PositiveInt]
FourStages = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
SixStages = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt]


class _Network(Strict):
    """A network by name; each gives logits [n, outputs] for volumes [n, channels, x, y, z]."""

    least_size: ClassVar[tuple[int, int, int]] = (1, 1, 1)
    """Voxels along x, y and z below which the network cannot be trained."""
    colour: ClassVar[bool] = False
    """Whether the network was made for colour images, and takes one channel or three."""

    @abstractmethod
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        """A new network for volumes of `size` voxels, random by torch's global generator."""


class Densenet121(_Network):
    """DenseNet for volumes; the defaults are DenseNet-121."""

    least_size: ClassVar[tuple[int, int, int]] = (densenet.SMALLEST_AXIS,) * 3
    name: Literal["densenet121"] = Field("densenet121", description="DenseNet for volumes")
    init_features: PositiveInt = Field(64, description="features of the first convolution")
    growth_rate: PositiveInt = Field(32, description="features that each layer adds")
    block_config: FourStages = Field((6, 12, 24, 16), description="layers in each of the four dense blocks")

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return densenet.densenet_3d(
            channels, outputs, self.init_features, self.growth_rate, self.block_config
        )


_HALVED_BEFORE_THE_LAST = 8


class SmallCnn(_Network):
    """Four convolution blocks, for small volumes and CPUs."""

    name: Literal["cnn3d"] = Field("cnn3d", description="small network of four blocks")
    width: PositiveInt = Field(16, multiple_of=4, description="features of the first block, doubled in each")
    norm: Norm = Field("batch", description="normalisation after each convolution")

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return Cnn3d(channels, outputs, self.width, self.norm)


class Resnet(_Network):
    """ResNet for volumes."""

    least_size: ClassVar[tuple[int, int, int]] = (resnet.SMALLEST_IN_PLANE, resnet.SMALLEST_IN_PLANE, 1)
    name: Literal["resnet"] = Field("resnet", description="3D ResNet")
    depth: resnet.Depth = Field(18, description="layers with weights; from 50 on with bottleneck blocks")
    width: PositiveInt = Field(64, description="features of the first stage, doubled in each")

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return resnet.resnet_3d(channels, outputs, self.depth, self.width)


class Mst(_Network):
    """The Medical Slice Transformer; the defaults are DINOv2 ViT-S/14 on each slice."""

    colour: ClassVar[bool] = True
    name: Literal["mst"] = Field("mst", description="DINOv2 on each slice, a transformer over the slices")
    width: PositiveInt = Field(384, description="features of a token")
    layers: PositiveInt = Field(12, description="layers of DINOv2")
    heads: PositiveInt = Field(6, description="heads of each attention of DINOv2")
    image_size: PositiveInt = Field(
        518,
        multiple_of=mst.PATCH,
        description="edge in pixels of the images that DINOv2's position embeddings are made for",
    )
    slice_layers: PositiveInt = Field(1, description="layers of the transformer over slices")
    slice_heads: PositiveInt = Field(12, description="heads of each attention over slices")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads or self.width % (2 * self.slice_heads):
            raise ValueError(
                f"contradiction: width {self.width} must be a multiple of heads {self.heads} "
                f"and of twice slice_heads {self.slice_heads}"
            )
        return self

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return mst.SliceTransformerClassifier(
            outputs, self.width, self.layers, self.heads, self.image_size, self.slice_layers, self.slice_heads
        )


class SwinUnetr(_Network):
    """The encoder of Swin UNETR."""

    name: Literal["swin_unetr"] = Field("swin_unetr", description="encoder of Swin UNETR")
    width: PositiveInt = Field(48, description="features of the first stage, doubled in each")
    depths: FourStages = Field((2, 2, 2, 2), description="blocks in each of the four stages")
    heads: FourStages = Field(
        (3, 6, 12, 24), description="heads of the attentions in each of the four stages"
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if any(self.width * 2**stage % heads for stage, heads in enumerate(self.heads)):
            raise ValueError(
                f"contradiction: width {self.width}, doubled in each stage, must be a multiple of "
                f"the stage's heads {list(self.heads)}"
            )
        return self

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return SwinUnetrClassifier(channels, outputs, self.width, self.depths, self.heads)


class ResidualEncoder(_Network):
    """The residual encoder of nnU-Net; the defaults are those of its preset M."""

    least_size: ClassVar[tuple[int, int, int]] = (
        residual_encoder.SMALLEST_IN_PLANE,
        residual_encoder.SMALLEST_IN_PLANE,
        1,
    )
    name: Literal["residual_encoder"] = Field("residual_encoder", description="residual encoder of nnU-Net")
    features: SixStages = Field(
        (32, 64, 128, 256, 320, 320), description="features of each of the six stages"
    )
    blocks: SixStages = Field((1, 3, 4, 6, 6, 6), description="residual blocks in each of the six stages")

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return residual_encoder.ResidualEncoderClassifier(channels, outputs, self.features, self.blocks)


class Mvit(_Network):
    """A video transformer with slices for frames; the defaults are MViTv2-S."""

    least_size: ClassVar[tuple[int, int, int]] = (mvit.SMALLEST_IN_PLANE, mvit.SMALLEST_IN_PLANE, 1)
    colour: ClassVar[bool] = True
    name: Literal["mvit"] = Field("mvit", description="MViTv2 video transformer; needs torchvision")
    width: PositiveInt = Field(96, description="features of the first stage, doubled in each")
    blocks: FourStages = Field((1, 2, 11, 2), description="blocks in each of the four stages")

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return mvit.MvitClassifier(outputs, size, self.width, self.blocks)


class AttentionMil(_Network):
    """Attention-based multiple-instance learning over slices."""

    name: Literal["attention_mil"] = Field("attention_mil", description="slices weighted by attention")
    width: PositiveInt = Field(
        32, multiple_of=attention_mil.GROUP, description="features of the first block, doubled in each"
    )
    attention: PositiveInt = Field(128, description="hidden features of the attention")

    @override
    def build(self, channels: int, outputs: int, size: Size) -> nn.Module:
        return attention_mil.AttentionMil(channels, outputs, self.width, self.attention)


Backbone = Annotated[
    Densenet121 | SmallCnn | Resnet | Mst | SwinUnetr | ResidualEncoder | Mvit | AttentionMil,
    Field(discriminator="name"),
]


def misfit(backbone: Backbone, channels: int, size: Size) -> str | None:
    """Why `backbone` cannot take volumes of so many channels and voxels, as one sentence; None if it can."""
    if backbone.colour and channels not in (1, COLOURS):
        return (
            f"backbone {backbone.name} takes one channel or {COLOURS}, and channels names {channels}; "
            "use another backbone or other channels"
        )
    if (
        isinstance(backbone, SmallCnn)
        and backbone.norm == "instance"
        and max(size) <= _HALVED_BEFORE_THE_LAST
    ):
        return (
            f"backbone cnn3d with norm instance needs an axis of more than {_HALVED_BEFORE_THE_LAST} voxels, "
            f"and input_size is {list(size)}: its last block would normalise a single voxel; use norm group"
        )
    if all(have >= least for have, least in zip(size, backbone.least_size, strict=True)):
        return None
    least = (
        f"{backbone.least_size[0]} voxels along each axis"
        if len(set(backbone.least_size)) == 1
        else f"{' x '.join(map(str, backbone.least_size))} voxels"
    )
    return (
        f"backbone {backbone.name} needs at least {least}, and input_size is {list(size)}; "
        "use backbone cnn3d or a larger input_size"
    )
