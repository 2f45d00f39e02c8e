"""The `config:` section of a job with pipeline `stamp`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from typing_extensions import Self

from mediswarm.data.bags.feature_file import HASH, extractor_and_hash
from mediswarm.pipelines.stamp.models import BagModel, Vit, misfit
from mediswarm.pipelines.stamp.tasks import TaskConfig
from mediswarm.pipelines.stamp.tasks.patient_columns import patient_columns
from mediswarm.spec import Strict

_FEWEST_FOLDS = 3  # one to test, one to validate, one to train
_ROUNDING = 1e-6


def _within_the_site(name: str) -> str:
    if not name or "\\" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError(f"contradiction: {name!r} does not lie in the site's folder; write a path below it")
    return name


Place = Annotated[str, AfterValidator(_within_the_site)]
"""A path below a site's folder."""


class Features(Strict):
    """Which features every file must hold: the job says so, no site's files do."""

    extractor: str = Field(
        min_length=1, description="the network that made the features, as the files name it, without its hash"
    )
    extractor_hash: str | None = Field(
        None,
        pattern=f"^{HASH}$",
        description="the hash after the extractor's name in the files; null: any, but the same at all sites",
    )
    tile_size_um: PositiveFloat = Field(256.0, description="edge of a tile in µm; at level tile only")
    dimension: PositiveInt = Field(description="numbers that describe a tile, a slide or a patient")
    level: Literal["tile", "slide", "patient"] = Field(
        "tile", description="what one row of a file describes; at level patient a file is `<PATIENT>.h5`"
    )
    undeclared: bool = Field(
        False,
        description="accept files that do not say their extractor, as those of `patch_embeddings` do not, "
        "for what the job names; all files of all sites must then be such, or none",
    )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        name, digest = extractor_and_hash(self.extractor)
        if digest:
            raise ValueError(
                f"contradiction: the extractor is named without its hash; write extractor: {name} and "
                f"extractor_hash: {digest}"
            )
        if self.level != "tile" and "tile_size_um" in self.model_fields_set:
            raise ValueError(f"contradiction: the level is {self.level}, and tile_size_um is about tiles")
        return self


class Files(Strict):
    """What is called how in a site's folder; tables are `.csv` or `.xlsx`."""

    clini: Place = Field("clini", description="the table with a row for each patient, without its ending")
    slide: Place = Field("slide", description="the table with a row for each slide, without its ending")
    features: Place = Field("features", description="the folder of feature files")
    patient: str = Field("PATIENT", description="the column of both tables that names the patient")
    filename: str = Field(
        "FILENAME", description="the column of the slide table that names the file in the feature folder"
    )


class Splits(Strict):
    """Which patients train, validate and test: drawn once by the seed, or given in a table."""

    table: Place | None = Field(
        None, description="a table of the site with columns PATIENT, Split, Fold, without its ending"
    )
    fractions: tuple[float, float, float] = Field(
        (0.7, 0.15, 0.15), description="shares of train, val and test, drawn by the seed"
    )
    folds: int | None = Field(
        None,
        ge=_FEWEST_FOLDS,
        description="parts drawn by the seed instead; part `fold` tests, the next one validates",
    )
    fold: NonNegativeInt = Field(0, description="the fold that is used, of the table or of the parts")
    seed: NonNegativeInt = Field(0, description="another seed, another draw")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("table", "fractions", "folds") if name in self.model_fields_set]
        if len(ways) > 1:
            raise ValueError(f"contradiction: patients are split by one of {' and '.join(ways)}")
        if self.table is not None and "seed" in self.model_fields_set:
            raise ValueError("contradiction: a table says who is in which split, and seed has no use")
        train, val, test = self.fractions
        if min(train, val) <= 0 or test < 0 or abs(sum(self.fractions) - 1) > _ROUNDING:
            raise ValueError(
                "contradiction: fractions must sum to 1, with something in train and in val; "
                f"they are {list(self.fractions)}"
            )
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"contradiction: fold {self.fold} is none of {self.folds}, which count from 0")
        if self.table is None and self.folds is None and self.fold:
            raise ValueError("contradiction: there is a fold only in a table or among folds")
        return self


class StampConfig(Strict):
    """Which task, which features, which model."""

    task: TaskConfig = Field(description="what is asked about a patient")
    features: Features = Field(description="which features every site must have")
    model: BagModel = Field(default_factory=Vit, description="the network over a patient's bag, or vit")
    bag_size: PositiveInt = Field(
        512, description="largest number of tiles of a patient in training, drawn anew in each epoch"
    )
    splits: Splits = Field(default_factory=Splits, description="which patients train, validate and test")
    files: Files = Field(default_factory=Files, description="names of tables, columns and the feature folder")

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        task = self.task.build()
        columns = patient_columns(task)
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(
                f"contradiction: a table of predictions would have {' and '.join(map(repr, twice))} twice; "
                "name the column of the label otherwise, there and in the site's table"
            )
        if self.files.patient in task.columns:
            raise ValueError(f"contradiction: {self.files.patient!r} is the column of ids, not of a label")
        if padded := [name for name in task.columns if name != name.strip()]:
            raise ValueError(
                f"contradiction: {padded[0]!r} has spaces around it, which no table's column keeps"
            )
        return self

    @model_validator(mode="after")
    def _model_fits(self) -> Self:
        if why := misfit(self.model, self.task):
            raise ValueError(f"contradiction: {why}")
        if self.model.needs_coords and self.features.level != "tile":
            level = self.features.level
            raise ValueError(f"contradiction: the model asks where tiles lie, and a {level} is not in tiles")
        return self
