"""Declared columns of a table: type, unit, range, categories, and how they become features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from typing_extensions import Self

from mediswarm.spec import Strict

Missing = Literal["refuse", "impute"]


class NumericColumn(Strict):
    """A measured quantity."""

    type: Literal["numeric"] = Field(description="a number in a declared unit and range")
    name: str = Field(min_length=1, description="the column's name in the header")
    unit: str = Field(min_length=1, description="the unit that every site measures in; `1` if it has none")
    range: tuple[float, float] = Field(
        description="lowest and highest plausible value; anything outside is refused"
    )
    missing: Missing = Field("refuse", description="refuse an empty cell, or impute the agreed mean")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise ValueError(f"contradiction: the range of {self.name!r} starts at or above its end")
        return self


class CategoricalColumn(Strict):
    """One of a declared set of texts; the first is the reference category."""

    type: Literal["categorical"] = Field(description="one of declared texts")
    name: str = Field(min_length=1, description="the column's name in the header")
    categories: tuple[str, ...] = Field(min_length=2, description="every value that a cell may hold")
    missing: Missing = Field("refuse", description="refuse an empty cell, or give it a category of its own")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"contradiction: {self.name!r} declares a category twice")
        if "" in self.categories:
            raise ValueError(
                f"contradiction: {self.name!r} declares the empty cell as a category; use `missing`"
            )
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        """The categories, and the empty text for a missing value where it is imputed."""
        return (*self.categories, "") if self.missing == "impute" else self.categories


Column = Annotated[NumericColumn | CategoricalColumn, Field(discriminator="type")]


def feature_names(columns: Sequence[Column]) -> list[str]:
    """Names of the model's inputs: a numeric column is one, a categorical one per level but the first."""
    names: list[str] = []
    for column in columns:
        if isinstance(column, NumericColumn):
            names.append(column.name)
        else:
            names += [f"{column.name}={level or 'missing'}" for level in column.levels[1:]]
    return names


def centre_and_reach(columns: Sequence[Column]) -> tuple[torch.Tensor, torch.Tensor]:
    """Midpoint and half width of each feature's declared range, float64 [features] each."""
    spans: list[tuple[float, float]] = []
    for column in columns:
        if isinstance(column, NumericColumn):
            spans.append(column.range)
        else:
            spans += [(0.0, 1.0)] * (len(column.levels) - 1)
    bounds = torch.tensor(spans, dtype=torch.float64)
    return bounds.mean(dim=1), (bounds[:, 1] - bounds[:, 0]) / 2
