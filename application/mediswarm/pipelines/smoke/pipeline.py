"""Noise with a signal in it, and a stack of layers that finds it."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from pydantic import Field, PositiveInt
from torch import nn
from typing_extensions import override

from mediswarm.pipelines.base import Cases, Site, SiteData
from mediswarm.pipelines.classification import ClassificationPipeline
from mediswarm.spec import Strict

_SIGNAL = 8  # inputs that depend on the class


class SmokeConfig(Strict):
    """How much there is to do, and how much to send: the model has about width² · depth parameters."""

    cases: PositiveInt = Field(320, description="synthetic training cases at each site")
    width: PositiveInt = Field(32, ge=_SIGNAL, description="inputs, and units of each layer")
    depth: PositiveInt = Field(2, description="layers of `width` units")


class Smoke(ClassificationPipeline[SmokeConfig]):
    """Two classes of noise, made at the site from its name; nothing is read."""

    Config = SmokeConfig
    classes = ("without", "with")

    @override
    def contract(self) -> dict[str, Any]:
        return super().contract() | {"input_shape": [self.config.width]}

    @override
    def data(self, site: Site) -> SiteData:
        """The training cases, and a tenth as many, at least 32, for validation and for the test."""
        generator = torch.Generator().manual_seed(zlib.crc32(site.name.encode()))
        judged = max(32, self.config.cases // 10)
        return SiteData(
            train=self._cases(self.config.cases, generator),
            validation=self._cases(judged, generator),
            test=self._cases(judged, generator),
        )

    def _cases(self, count: int, generator: torch.Generator) -> Cases:
        labels = torch.arange(count) % len(self.classes)
        inputs = torch.randn(count, self.config.width, generator=generator)
        inputs[:, :_SIGNAL] += labels[:, None] * 0.5
        return Cases.of(inputs, labels)

    @override
    def model(self) -> nn.Module:
        width = self.config.width
        layers = [layer for _ in range(self.config.depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(width, len(self.classes)))
