"""The base of every declared section: unknown keys are errors, nothing changes after reading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

# YAML 1.1 reads 1e-3, which has no point, as a text; everyone means the number
_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")


class Strict(BaseModel):
    """A frozen pydantic model that refuses keys it does not know.

    Pipelines derive their ``Config`` from it, so that a misspelt key in a job's
    ``config:`` section is an error and never silently ignored. A number is a
    number: `true` is not taken for 1, nor the text "2" for 2.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_numbers(cls, values: Any) -> Any:
        # not a validator of each field: pydantic allows none on the key that chooses a section's kind
        wrong = [
            InitErrorDetails(type=kind, loc=(name,), input=values[name])
            for name, field in cls.model_fields.items()
            if isinstance(values, dict)
            and name in values
            and (kind := _not_a_number(values[name], tuple(_alternatives(field.annotation)))) is not None
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return values


def _not_a_number(value: Any, takes: tuple[Any, ...]) -> PydanticCustomError | None:
    """The error for a `value` that pydantic would turn into a number though it is none."""
    if type(value) in takes or any(type(kind) is type(value) and kind == value for kind in takes):
        return None
    if not isinstance(value, bool) and not (isinstance(value, str) and _is_number(value)):
        return None
    if float in takes:
        if isinstance(value, str) and _EXPONENT.fullmatch(value):
            return None
        return PydanticCustomError("float_type", "Input should be a number")
    return PydanticCustomError("int_type", "Input should be a whole number") if int in takes else None


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that a field may have, and the values of a Literal."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_args(annotation):
        for inner in get_args(annotation):
            yield from _alternatives(inner)
    else:
        yield annotation


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
