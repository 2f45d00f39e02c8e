"""The base of every declared section: unknown keys are errors, nothing changes after reading."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen pydantic model that refuses keys it does not know.

    Pipelines derive their ``Config`` from it, so that a misspelt key in a job's
    ``config:`` section is an error and never silently ignored.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
