"""The `workflow:` section: how the sites work together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from typing_extensions import Self

from mediswarm.spec.strict import Strict

Quorum = Literal["all"] | PositiveInt
WeightBy = Literal["cases", "events", "steps", "uniform"]


class _Rounds(Strict):
    """What every workflow has."""

    rounds: PositiveInt = Field(description="how often the sites exchange weights")
    start_quorum: Quorum = Field("all", description="sites that must be ready before round 0")
    round_quorum: Quorum = Field("all", description="sites that must contribute to a round")
    round_budget: PositiveFloat = Field(
        3600.0,
        description="seconds a round may take at the slowest site, for each of its exchanges; every timeout "
        "derives from it",
    )
    segment_rounds: PositiveInt = Field(
        10,
        description="rounds between two moments at which sites may join, leave and return (real federations)",
    )

    @model_validator(mode="after")
    def _round_within_start(self) -> Self:
        start, each = self.start_quorum, self.round_quorum
        if isinstance(start, int) and isinstance(each, int) and each > start:
            raise ValueError(f"contradiction: round_quorum {each} is above start_quorum {start}")
        return self


class _Averaging(_Rounds):
    weights: WeightBy = Field("cases", description="what a site's contribution is weighted by")


class FedAvg(_Averaging):
    """Weighted average of the sites' updates (McMahan et al., 2017)."""

    name: Literal["fedavg"] = Field("fedavg", description="weighted average of the updates")
    proximal_mu: float = Field(
        0.0, ge=0, description="FedProx (Li et al., 2020): pull towards the received model"
    )


class ServerOptimizer(Strict):
    """The server's optimizer; the averaged update is its gradient (Reddi et al., 2021)."""

    name: Literal["sgd", "adam", "yogi", "adagrad"] = Field(description="which optimizer")
    lr: PositiveFloat = Field(description="learning rate at the server")
    momentum: float = Field(0.0, ge=0, lt=1, description="sgd only")
    beta1: float = Field(0.9, ge=0, lt=1, description="adam, yogi, adagrad: decay of the first moment")
    beta2: float = Field(0.99, ge=0, lt=1, description="adam, yogi: decay of the second moment")
    tau: PositiveFloat = Field(
        1e-3, description="adam, yogi, adagrad: added to the root of the second moment"
    )

    @model_validator(mode="after")
    def _momentum_is_sgd(self) -> Self:
        if self.momentum and self.name != "sgd":
            raise ValueError(f"contradiction: momentum belongs to sgd, not to {self.name}")
        return self


class FedOpt(_Averaging):
    """The averaged update as the gradient of a server optimizer (Reddi et al., 2021)."""

    name: Literal["fedopt"] = Field("fedopt", description="a server optimizer on the averaged update")
    proximal_mu: float = Field(
        0.0, ge=0, description="FedProx (Li et al., 2020): pull towards the received model"
    )
    server_optimizer: ServerOptimizer = Field(description="how the server steps along the averaged update")


class Scaffold(_Averaging):
    """Control variates against client drift (Karimireddy et al., 2020), option II."""

    name: Literal["scaffold"] = Field("scaffold", description="averaging with control variates")
    server_lr: PositiveFloat = Field(1.0, description="factor on the averaged update of trainable parameters")


class Swarm(_Averaging):
    """Peer to peer: no server sees a model; the aggregating site rotates (Warnat-Herresthal et al., 2021)."""

    name: Literal["swarm"] = Field("swarm", description="averaging at rotating sites; no server sees weights")
    proximal_mu: float = Field(
        0.0, ge=0, description="FedProx (Li et al., 2020): pull towards the received model"
    )


class Cyclic(_Rounds):
    """The model travels from site to site; a round is one pass over all (Chang et al., 2018)."""

    name: Literal["cyclic"] = Field("cyclic", description="the model travels from site to site")


Workflow = Annotated[FedAvg | FedOpt | Scaffold | Swarm | Cyclic, Field(discriminator="name")]


def required(quorum: Quorum, sites: int) -> int:
    """How many sites a quorum asks for; `all` is all of `sites`, and at least 1.

    A number stands as it is: a quorum of 5 among 3 sites cannot be met, and must not be lowered in silence.
    """
    return max(1, sites) if quorum == "all" else quorum
