"""What a job declares about a table and the model on it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from typing_extensions import Self

from mediswarm.pipelines.tabular.columns import Column
from mediswarm.spec import Strict

SPLITS = ("train", "validation", "test")
_ROUNDING = 1e-6


class LabelClass(Strict):
    """One class and the texts that code it."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", description="the class's name in every metric"
    )
    codes: tuple[str, ...] = Field(min_length=1, description="texts in the label column that mean this class")


class Label(Strict):
    """What is predicted."""

    column: str = Field(description="the column that holds what is predicted")
    classes: tuple[LabelClass, ...] = Field(min_length=2, description="in their order, the reference first")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [item.name for item in self.classes]
        codes = [code for item in self.classes for code in item.codes]
        if len(set(names)) < len(names) or len(set(codes)) < len(codes):
            raise ValueError("contradiction: a class name or a code stands twice")
        return self


class Split(Strict):
    """How rows are assigned to train, validation and test.

    Either a column of the table says so, or the seed does: then the draw is grouped
    by patient, stratified by class and independent of the rows' order.
    """

    column: str | None = Field(None, description=f"a column that holds {', '.join(SPLITS)}")
    fractions: tuple[float, float, float] = Field(
        (0.7, 0.15, 0.15), description="shares of train, validation and test"
    )
    seed: NonNegativeInt = Field(0, description="another seed, another split")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.column is not None and {"fractions", "seed"} & self.model_fields_set:
            raise ValueError("contradiction: the split stands in a column or is drawn by fractions and seed")
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > _ROUNDING:
            raise ValueError(f"contradiction: the fractions sum to {sum(self.fractions):g}, not 1")
        return self


class TableConfig(Strict):
    """What every pipeline on tables declares."""

    file: str = Field("data.csv", description="the table in the site's folder (.csv, .tsv, .txt or .xlsx)")
    label: Label = Field(description="what is predicted")
    id: str | None = Field(None, description="column that names each row; without it, the line does")
    patient: str | None = Field(
        None, description="column that names the patient; without it, each row is one"
    )
    split: Split = Field(
        default_factory=Split, description="how rows are assigned to train, validation and test"
    )
    standardise: Literal["federated", "site"] = Field(
        "federated",
        description="by moments summed over all sites' training rows, or by each site's own",
    )
    class_weighting: bool = Field(
        True, description="weigh classes by the inverse of their count at all sites"
    )

    @property
    def marks(self) -> list[str]:
        """Columns that describe a row and are no input: label, id, patient, split."""
        names = dict.fromkeys((self.id, self.patient))  # one column may be both
        return [name for name in (self.label.column, self.split.column, *names) if name is not None]


class TabularConfig(TableConfig):
    """The `config:` section of the pipeline `tabular`."""

    columns: tuple[Column, ...] = Field(min_length=1, description="the model's inputs, in their order")
    ignore: tuple[str, ...] = Field(
        (), description="further columns that may stand in the table and are not read"
    )
    hidden: tuple[PositiveInt, ...] = Field(
        (), description="widths of hidden layers; none: logistic regression"
    )

    @model_validator(mode="after")
    def _one_use_each(self) -> Self:
        uses = [*(column.name for column in self.columns), *self.marks, *self.ignore]
        twice = sorted({name for name in uses if uses.count(name) > 1})
        if twice:
            raise ValueError(f"contradiction: column {twice[0]!r} is declared for two uses")
        return self
