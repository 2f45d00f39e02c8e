"""The networks that a job with pipeline `stamp` can name, with their sizes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator
from torch import nn
from typing_extensions import Self, override

from mediswarm.models.bags.barspoon import Barspoon
from mediswarm.models.bags.clam import Clam
from mediswarm.models.bags.gated_attention import AttentionPooling
from mediswarm.models.bags.mean import MeanMlp
from mediswarm.models.bags.trans_mil import TransMil
from mediswarm.models.bags.vit import TileTransformer
from mediswarm.pipelines.stamp.tasks import TaskConfig
from mediswarm.spec import Strict

_WIDTH = "features of a token"
_HEADS = "heads of each attention"
_DROPOUT = "share of features that are set to 0 at random in training"


class _Network(Strict):
    """A network by name; each gives [n, outputs] for a batch of bags."""

    @property
    def needs_coords(self) -> bool:
        """Whether the network uses where the tiles lie, so that files without coordinates cannot do."""
        return False

    @abstractmethod
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        """A new network, random by torch's global generator.

        Args:
            features: of a tile.
            groups: outputs of each target of the task, see `Task.groups`.
        """


class _Transformer(_Network):
    """A network whose attention heads share its width."""

    width: PositiveInt = Field(512, description=_WIDTH)
    heads: PositiveInt = Field(8, description=_HEADS)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"contradiction: width {self.width} must be a multiple of heads {self.heads}")
        return self


class Vit(_Transformer):
    """A vision transformer over tiles; the defaults are STAMP's."""

    name: Literal["vit"] = Field("vit", description="transformer over tiles with a class token")
    layers: PositiveInt = Field(2, description="layers of the transformer")
    hidden: PositiveInt = Field(512, description="features within each feed-forward network")
    dropout: float = Field(0.25, description=_DROPOUT, ge=0, lt=1)
    alibi: bool = Field(False, description="lower attention by the distance between tiles in µm")

    @property
    @override
    def needs_coords(self) -> bool:
        return self.alibi

    @override
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        return TileTransformer(
            features,
            sum(groups),
            self.width,
            self.layers,
            self.heads,
            self.hidden,
            self.dropout,
            alibi=self.alibi,
        )


class Mlp(_Network):
    """A multilayer perceptron on the mean tile."""

    name: Literal["mlp"] = Field("mlp", description="multilayer perceptron on the mean of the tiles")
    hidden: PositiveInt = Field(512, description="features of each hidden layer")
    layers: PositiveInt = Field(2, description="linear layers, the last of which gives the outputs")
    dropout: float = Field(0.25, description=_DROPOUT, ge=0, lt=1)

    @override
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        return MeanMlp(features, sum(groups), self.hidden, self.layers, self.dropout)


class Linear(_Network):
    """A linear model of the mean tile."""

    name: Literal["linear"] = Field("linear", description="linear model of the mean of the tiles")

    @override
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        return MeanMlp(features, sum(groups), hidden=1, layers=1, dropout=0.0)


class TransMilModel(_Transformer):
    """TransMIL; the defaults are the paper's."""

    name: Literal["trans_mil"] = Field("trans_mil", description="two Nyström layers and a pyramid")
    landmarks: PositiveInt = Field(256, description="tokens that stand for all in an attention, at most")
    dropout: float = Field(0.1, description=_DROPOUT, ge=0, lt=1)

    @override
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        return TransMil(features, sum(groups), self.width, self.heads, self.landmarks, self.dropout)


class BarspoonModel(_Transformer):
    """Encoder and decoder with a class token for each target."""

    name: Literal["barspoon"] = Field("barspoon", description="a class token for each target")
    encoder_layers: PositiveInt = Field(2, description="layers of the tiles' transformer")
    decoder_layers: PositiveInt = Field(2, description="layers in which class tokens look at the tiles")
    hidden: PositiveInt = Field(2048, description="features within each feed-forward network")
    dropout: float = Field(0.1, description=_DROPOUT, ge=0, lt=1)

    @override
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        return Barspoon(
            features,
            groups,
            self.width,
            self.encoder_layers,
            self.decoder_layers,
            self.heads,
            self.hidden,
            self.dropout,
        )


class Abmil(_Network):
    """Attention-based multiple-instance learning."""

    name: Literal["abmil"] = Field("abmil", description="mean of the tiles weighted by gated attention")
    width: PositiveInt = Field(512, description=_WIDTH)
    attention: PositiveInt = Field(128, description="hidden features of the attention")
    dropout: float = Field(0.25, description=_DROPOUT, ge=0, lt=1)

    @override
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        return AttentionPooling(features, sum(groups), self.width, self.attention, self.dropout)


class ClamModel(_Network):
    """CLAM with an attention branch for each category; for the task classification."""

    name: Literal["clam"] = Field("clam", description="attention for each category, tiles clustered by it")
    width: PositiveInt = Field(512, description=_WIDTH)
    attention: PositiveInt = Field(256, description="hidden features of the attention")
    dropout: float = Field(0.25, description=_DROPOUT, ge=0, lt=1)
    instances: PositiveInt = Field(
        8, description="tiles of the highest, and of the lowest, attention that are clustered"
    )
    instance_share: float = Field(0.3, description="share of the clustering in the loss", ge=0, lt=1)

    @override
    def build(self, features: int, groups: Sequence[int]) -> nn.Module:
        return Clam(
            features,
            sum(groups),
            self.width,
            self.attention,
            self.dropout,
            self.instances,
            self.instance_share,
        )


BagModel = Annotated[
    Vit | TransMilModel | Mlp | Linear | BarspoonModel | Abmil | ClamModel, Field(discriminator="name")
]


def misfit(model: BagModel, task: TaskConfig) -> str | None:
    """Why `model` cannot do `task`, as one sentence; None if it can."""
    if model.name == "clam" and task.name != "classification":
        return f"model clam clusters tiles by the patient's category, and the task is {task.name}; use abmil"
    return None
