"""Which series of an examination is Pre and which Post_1: a file of rules, never a guess."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, ValidationError, model_validator
from typing_extensions import Self

from mediswarm.errors import DataError
from mediswarm.spec.explain import explain
from mediswarm.spec.strict import Strict
from mediswarm.spec.yaml_errors import FileErrors
from mediswarm.spec.yaml_lines import read_yaml

DEFAULT_RULES = Path(__file__).with_name("rules.yml")
"""The rules that are used when a site gives none."""

_RULE_FILE = FileErrors(
    DataError,
    unreadable="MS-X003",
    not_yaml="MS-X003",
    unknown_key="MS-X004",
    missing_key="MS-X004",
    value="MS-X004",
    contradiction="MS-X004",
    duplicate_key="MS-X003",
    outside="MS-X004",
)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"contradiction: this is no regular expression ({error})") from error
    return text


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
"""A regular expression, sought anywhere in SeriesDescription, upper and lower case alike."""

SplitTag = Literal["TemporalPositionIdentifier", "AcquisitionNumber", "AcquisitionTime", "TriggerTime"]


class ByDescription(Strict):
    """The phases are series of their own, told apart by SeriesDescription."""

    by: Literal["description"] = Field(description="phases are told apart by SeriesDescription")
    pre: Pattern = Field(description="SeriesDescription of the series before contrast")
    post_1: Pattern = Field(description="SeriesDescription of the first series after contrast")


class ByOrder(Strict):
    """The phases are told apart by their order in time."""

    by: Literal["temporal_position", "acquisition_time"] = Field(
        description="order by TemporalPositionIdentifier, or by AcquisitionDateTime or date and time"
    )
    description: Pattern = Field(description="SeriesDescription of the dynamic series")
    pre: PositiveInt = Field(1, description="place of Pre in the order, from 1")
    post_1: PositiveInt = Field(2, description="place of Post_1 in the order, from 1")

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.pre >= self.post_1:
            raise ValueError("contradiction: Pre comes before Post_1; pre must be less than post_1")
        return self


class Rules(Strict):
    """How the two phases are found among all files of an examination."""

    modality: tuple[str, ...] = Field(("MR",), description="Modality of files that count", min_length=1)
    ignore_description: Pattern | None = Field(
        None, description="series whose SeriesDescription holds this never count"
    )
    ignore_image_type: tuple[str, ...] = Field(
        (), description="files that have one of these among the values of ImageType never count"
    )
    split_by: tuple[SplitTag, ...] = Field(
        ("TemporalPositionIdentifier",),
        description="tags whose values tell the phases apart that lie in one series",
    )
    select: tuple[Annotated[ByDescription | ByOrder, Field(discriminator="by")], ...] = Field(
        description="ways to find the phases; the first that finds any of them decides", min_length=1
    )


def load_rules(path: Path | None) -> Rules:
    """The rules of a file, or the default ones.

    Raises:
        DataError: MS-X003 the file cannot be read, MS-X004 what it says cannot be.
    """
    file = path or DEFAULT_RULES
    document, lines = read_yaml(file, _RULE_FILE)
    if not isinstance(document, dict):
        raise DataError("MS-X004", "a rule file is a mapping of keys to values", file=file, line=1)
    try:
        return Rules.model_validate(document)
    except ValidationError as error:
        raise explain(error, Rules, file, lines, errors=_RULE_FILE) from error
