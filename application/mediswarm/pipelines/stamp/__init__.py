"""Computational pathology: what do a patient's whole-slide images say, by features extracted before?"""

from mediswarm.pipelines.stamp.config import StampConfig
from mediswarm.pipelines.stamp.pipeline import Stamp

__all__ = ["Stamp", "StampConfig"]
