"""Layers of `width` x `width` weights, as many as `depth`: width² · depth · 4 bytes to exchange."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import nn

from mediswarm.pipelines import Cases, ClassificationPipeline, Config, Site, SiteData


class LayersConfig(Config):
    """The size of the model."""

    width: PositiveInt
    depth: PositiveInt


class Layers(ClassificationPipeline[LayersConfig]):
    """Two classes of noise."""

    Config = LayersConfig
    classes = ("first", "second")

    def contract(self) -> dict[str, Any]:
        """Classes and input length."""
        return super().contract() | {"input_shape": [self.config.width]}

    def data(self, site: Site) -> SiteData:
        """320 training, 32 validation and 32 test cases."""
        return SiteData(*(self.noise(cases) for cases in (320, 32, 32)))

    def noise(self, cases: int) -> Cases:
        """Random inputs, alternating labels."""
        generator = torch.Generator().manual_seed(cases)
        inputs = torch.randn(cases, self.config.width, generator=generator)
        return Cases.of(inputs, torch.arange(cases) % 2)

    def model(self) -> nn.Module:
        """The stack, and a head of two logits."""
        width = self.config.width
        layers = [layer for _ in range(self.config.depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(width, len(self.classes)))
