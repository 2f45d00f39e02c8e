"""The `selection:` section: which model of the run is the best one."""

from typing import Literal

from pydantic import Field

from mediswarm.spec.strict import Strict


class Selection(Strict):
    """The metric that chooses the best model, aggregated over the sites' validation cases."""

    metric: str = Field(description="a metric that the pipeline reports")
    mode: Literal["max", "min"] = Field(description="whether a larger or a smaller value is better")

    def better(self, value: float | None, than: float | None) -> bool:
        """Whether `value` beats `than`; an undefined value never does, any value beats none."""
        if value is None:
            return False
        if than is None:
            return True
        return value > than if self.mode == "max" else value < than
