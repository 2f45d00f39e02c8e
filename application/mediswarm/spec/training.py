"""The `training:` section: how a site trains within one round."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from typing_extensions import Self

from mediswarm.spec.strict import Strict


class LocalWork(Strict):
    """How much a site trains in one round: exactly one of the three ways."""

    epochs: PositiveInt | None = Field(
        None, description="passes over the site's training cases in each round"
    )
    steps: PositiveInt | None = Field(
        None, description="optimizer steps in each round, the same at every site"
    )
    epochs_scaled: EpochsScaled | None = Field(
        None,
        description="epochs that shrink with the site's size, so that all sites take similar steps",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("epochs", "steps", "epochs_scaled") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "contradiction: give exactly one of epochs, steps, epochs_scaled, "
                f"not {' and '.join(given) or 'none'}"
            )
        return self


class EpochsScaled(Strict):
    """epochs = round(reference_cases / cases), clamped to [minimum, maximum]."""

    reference_cases: PositiveInt = Field(
        description="a site with this many training cases makes one epoch a round"
    )
    minimum: PositiveInt = Field(1, description="fewest epochs, at the largest site")
    maximum: PositiveInt = Field(10, description="most epochs, at the smallest site")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"contradiction: minimum {self.minimum} is above maximum {self.maximum}")
        return self


class Optimizer(Strict):
    """A site's optimizer, from torch.optim."""

    name: Literal["sgd", "adam", "adamw"] = Field("adamw", description="which optimizer")
    lr: PositiveFloat = Field(1e-3, description="peak learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="sgd only")
    weight_decay: float = Field(
        0.0, ge=0, description="pull of the weights towards 0; decoupled from the gradient in adamw"
    )
    state: Literal["keep", "reset"] = Field(
        "keep",
        description="keep the optimizer's moments at the site from round to round, or start anew each round",
    )
    lr_groups: dict[str, PositiveFloat] = Field(
        default_factory=dict,
        description="factor on the learning rate by shell pattern of parameters, such as "
        "`{'encoder.*': 0.1}`; all others have factor 1",
    )

    @model_validator(mode="after")
    def _momentum_is_sgd(self) -> Self:
        if self.momentum and self.name != "sgd":
            raise ValueError(f"contradiction: momentum belongs to sgd, not to {self.name}")
        return self


class Schedule(Strict):
    """The learning rate over the whole run, as a function of run progress in [0, 1].

    Progress counts rounds, and the share of the round's steps done, so that a
    site of 150 cases and one of 2,000 are at the same learning rate at the same time.
    """

    name: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="how the rate falls after the warm-up"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the run in which the rate rises from 0 to its peak"
    )
    final: float = Field(0.0, ge=0, le=1, description="last rate as a share of the peak (cosine and linear)")

    @model_validator(mode="after")
    def _a_constant_rate_has_no_final(self) -> Self:
        if self.final and self.name == "constant":
            raise ValueError(
                f"contradiction: final {self.final} belongs to cosine and linear, not to constant"
            )
        return self


class Training(Strict):
    """Everything about training that is the same at every site."""

    local: LocalWork = Field(
        default_factory=lambda: LocalWork(epochs=1), description="work in one round; one epoch if left out"
    )
    batch_size: PositiveInt = Field(
        16, description="largest number of cases in a batch; the batches of an epoch are made even"
    )
    accumulate: PositiveInt = Field(
        1, description="batches whose gradients are summed into one optimizer step"
    )
    optimizer: Optimizer = Field(default_factory=Optimizer, description="the site's optimizer")
    freeze: tuple[str, ...] = Field(
        (),
        description="shell patterns of parameters that are not trained; a batch normalisation among them "
        "keeps its statistics",
    )
    schedule: Schedule = Field(default_factory=Schedule, description="learning rate over the whole run")
    gradient_clip: PositiveFloat | None = Field(
        None, description="largest global L2 norm of a step's gradient"
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="arithmetic on CUDA (autocast); a CPU always computes in float32"
    )
    seed: int = Field(0, ge=0, description="the root of every random number in the run")


LocalWork.model_rebuild()
