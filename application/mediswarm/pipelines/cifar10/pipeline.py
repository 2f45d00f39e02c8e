"""CIFAR-10 split over sites: the job with which a federation is tried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from torch.utils.data import Dataset
from typing_extensions import override

from mediswarm.errors import DataError
from mediswarm.models.cifar_cnn import CifarCnn
from mediswarm.pipelines.base import Cases, Site, SiteData
from mediswarm.pipelines.cifar10.batches import Array, read_images
from mediswarm.pipelines.cifar10.partition import dirichlet_shares, sites_of
from mediswarm.pipelines.cifar10.published import CLASSES
from mediswarm.pipelines.classification import ClassificationPipeline
from mediswarm.spec import Strict, sha256_of_json

_MEAN = torch.tensor([0.4914, 0.4822, 0.4465])[:, None, None]
_DEVIATION = torch.tensor([0.2470, 0.2435, 0.2616])[:, None, None]
_SHIFT = 4


class Cifar10Config(Strict):
    """The `config:` section of the pipeline `cifar10`."""

    sites: tuple[str, ...] = Field(min_length=1, description="the sites among which the images are divided")
    alpha: PositiveFloat = Field(
        1.0, description="of the Dirichlet distribution; the smaller, the more the sites' class mixes differ"
    )
    seed: NonNegativeInt = Field(0, description="another seed, another division")
    validation: float = Field(0.1, gt=0, lt=1, description="share of a site's training images to validate on")
    width: PositiveInt = Field(32, multiple_of=8, description="channels of the network's first block")

    @field_validator("sites")
    @classmethod
    def _distinct(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(sites)) < len(sites):
            raise ValueError("contradiction: a site stands twice")
        return sites


class Cifar10(ClassificationPipeline[Cifar10Config]):
    """The data directory itself holds CIFAR-10, the same at every site.

    Which images are a site's follows from its name and the job's seed. No image is at
    two sites; the test images are divided like the training images, so that the sites
    together judge each of them once.
    """

    Config = Cifar10Config
    needs_data = True
    classes = CLASSES

    @override
    def contract(self) -> dict[str, Any]:
        return super().contract() | {"input_shape": [3, 32, 32]}

    @override
    def sites(self, data_dir: Path | None) -> list[str]:
        return list(self.config.sites)

    @override
    def data(self, site: Site) -> SiteData:
        """This site's share; raises DataError MS-D002, and MS-D241 to MS-D244."""
        if site.name not in self.config.sites:
            raise DataError(
                "MS-D244", f"site {site.name} is not among those declared: {', '.join(self.config.sites)}"
            )
        if site.data_dir is None or not site.data_dir.is_dir():
            raise DataError(
                "MS-D002",
                f"site {site.name} has no data directory",
                repair="Pass --data DIR, the directory that holds CIFAR-10.",
                file=site.data_dir,
            )
        images = read_images(site.data_dir)
        config, index = self.config, self.config.sites.index(site.name)
        shares = dirichlet_shares(images.train_y, len(CLASSES), len(config.sites), config.alpha, config.seed)
        own = np.flatnonzero(sites_of(images.train_y, shares, config.seed) == index)
        own = np.random.default_rng([config.seed, 2, index]).permutation(own)
        held_out = max(1, round(config.validation * len(own)))
        test = np.flatnonzero(sites_of(images.test_y, shares, config.seed) == index)
        # sites that hold different images cannot divide them without overlap
        measured = {"labels_sha256": sha256_of_json([images.train_y.tolist(), images.test_y.tolist()])}
        return SiteData(
            train=_cases(images.train_x, images.train_y, np.sort(own[held_out:]), "train"),
            validation=_cases(images.train_x, images.train_y, np.sort(own[:held_out]), "train"),
            test=_cases(images.test_x, images.test_y, test, "test"),
            measured=measured,
        )

    @override
    def targets(self, cases: Cases) -> np.ndarray[Any, np.dtype[np.int64]]:
        if not isinstance(cases.dataset, CifarImages):
            raise TypeError("the cases of this pipeline are CifarImages")
        labels: np.ndarray[Any, np.dtype[np.int64]] = cases.dataset.labels.numpy()
        return labels

    @override
    def model(self) -> CifarCnn:
        return CifarCnn(self.config.width, len(CLASSES))

    @override
    def augment(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Shift each image by up to 4 pixels, and mirror half of them."""
        count, _, height, width = inputs.shape
        offset = torch.randint(2 * _SHIFT + 1, (2, count, 1), generator=generator)
        rows, columns = offset[0] + torch.arange(height), offset[1] + torch.arange(width)
        mirrored = torch.randint(2, (count,), generator=generator).bool()
        columns[mirrored] = columns[mirrored].flip(dims=(1,))
        padded = torch.nn.functional.pad(inputs, (_SHIFT,) * 4, mode="reflect")
        case = torch.arange(count, device=inputs.device)[:, None, None]
        rows, columns = rows.to(inputs.device), columns.to(inputs.device)
        shifted = padded.permute(0, 2, 3, 1)[case, rows[:, :, None], columns[:, None, :]]
        return shifted.permute(0, 3, 1, 2), targets


class CifarImages(Dataset[tuple[torch.Tensor, int]]):
    """Images in a byte for each channel, standardised when they are asked for."""

    def __init__(self, images: Array, labels: Array) -> None:
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    @override
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Image float32 [3, 32, 32] and class index."""
        return (self.images[index] / 255 - _MEAN) / _DEVIATION, int(self.labels[index])


def _cases(images: Array, labels: Array, chosen: Array, part: str) -> Cases:
    return Cases(CifarImages(images[chosen], labels[chosen]), [f"{part}-{index}" for index in chosen])
