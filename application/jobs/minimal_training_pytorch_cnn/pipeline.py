"""The smallest complete pipeline: bright squares in noise, found by a tiny CNN."""

import zlib

import torch
from pydantic import PositiveInt
from torch import nn

from mediswarm.pipelines import Cases, ClassificationPipeline, Config, Site, SiteData


class MinimalConfig(Config):
    cases: PositiveInt = 120
    size: PositiveInt = 16
    channels: PositiveInt = 8


class Minimal(ClassificationPipeline[MinimalConfig]):
    Config = MinimalConfig
    classes = ("empty", "left", "right")

    def contract(self):
        return super().contract() | {"input_shape": [1, self.config.size, self.config.size]}

    def data(self, site: Site) -> SiteData:
        generator = torch.Generator().manual_seed(zlib.crc32(site.name.encode()))
        return SiteData(*(self.synthesise(generator, part) for part in (2, 4, 4)))

    def synthesise(self, generator: torch.Generator, part: int) -> Cases:
        count, size = self.config.cases // part, self.config.size
        labels = torch.randint(len(self.classes), (count,), generator=generator)
        images = torch.randn(count, 1, size, size, generator=generator)
        for image, label in zip(images, labels, strict=True):
            row, column = torch.randint(size // 2 - 4, (2,), generator=generator)
            if label > 0:
                column += (label - 1) * size // 2
                image[0, row : row + 4, column : column + 4] += 1.5
        return Cases.of(images, labels)

    def model(self) -> nn.Module:
        width = self.config.channels
        return nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(width * (self.config.size // 4) ** 2, len(self.classes)),
        )
