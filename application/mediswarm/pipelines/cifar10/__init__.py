"""CIFAR-10 split over sites: the job with which a federation is tried out."""

from mediswarm.pipelines.cifar10.download import download
from mediswarm.pipelines.cifar10.pipeline import Cifar10

__all__ = ["Cifar10", "download"]
