"""A pipeline that needs no data: with it a federation is tried out, and measured with a model of any size."""

from mediswarm.pipelines.smoke.pipeline import Smoke

__all__ = ["Smoke"]
