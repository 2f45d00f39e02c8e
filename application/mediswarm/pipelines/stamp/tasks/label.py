"""A column of the clini table whose cells are categories."""

from __future__ import annotations

from pydantic import Field, field_validator

from mediswarm.pipelines.stamp.tasks.class_scores import MEAN
from mediswarm.spec import Strict

_FEWEST = 2


class Label(Strict):
    """One label with ordered categories."""

    label: str = Field(description="column of the clini table", min_length=1)
    categories: tuple[str, ...] = Field(
        description="the label's categories in order, spelt as in the table", min_length=_FEWEST
    )

    @field_validator("categories")
    @classmethod
    def _usable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _usable_categories(names)


def different(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, if no two are the same and none is empty or has spaces around it.

    Raises:
        ValueError: else, as a validator of a config does.
    """
    if len(set(names)) < len(names) or not all(name and name == name.strip() for name in names):
        raise ValueError("contradiction: names must be different, not empty, without spaces around them")
    return names


def _usable_categories(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, if they are different and no metric of a category is called as a mean over categories.

    Raises:
        ValueError: else, as a validator of a config does.
    """
    if MEAN in names:
        raise ValueError(
            f"contradiction: metrics that end in _{MEAN} are means over categories; name it otherwise"
        )
    return different(names)
