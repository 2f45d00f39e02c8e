"""Breast MRI: is there a lesion in this breast, and is it malignant?"""

from mediswarm.pipelines.odelia.config import OdeliaConfig
from mediswarm.pipelines.odelia.pipeline import Odelia

__all__ = ["Odelia", "OdeliaConfig"]
