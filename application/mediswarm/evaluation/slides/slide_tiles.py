"""A patient's tiles, slide by slide, with where they lie and what was found of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mediswarm.data.bags.bag_dataset import BagDataset
from mediswarm.errors import DataError
from mediswarm.evaluation.predictions import Floats
from mediswarm.evaluation.slides.tile_scores import tile_scores
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines.base import Site
from mediswarm.pipelines.stamp.site_files import SiteFiles


@dataclass(frozen=True)
class SlideTiles:
    """The tiles of one slide: their upper left corners [T, 2] and their edge, in µm, and scores [T] by name.

    `name` is the feature file's path below the feature folder, without its ending.
    """

    name: str
    corners: Floats
    edge: float
    scores: dict[str, Floats]


def patient_slides(trained: TrainedModel, site: Site, patients: list[str]) -> Iterator[list[SlideTiles]]:
    """The slides of each of the patients, in the order given; in a split or not, with a label or without.

    Raises:
        DataError: what the pipeline finds wrong with the site's data, MS-E009 an unknown patient,
            MS-E010 a slide without coordinates, or features that are not of tiles.
        ContractError: MS-C001 features that were made in another way than those of the run.
    """
    config = trained.pipeline.config
    if config.features.level != "tile":
        raise DataError("MS-E010", f"the model reads features of level {config.features.level}")
    cohort = trained.pipeline.patients(site)
    if unknown := [uid for uid in patients if uid not in cohort.targets]:
        raise DataError("MS-E009", f"site {site.name} has no patient {', '.join(unknown)}")
    trained.require_features(site.name, cohort.measured())
    bags = cohort.of(patients).dataset
    if not isinstance(bags, BagDataset):
        raise TypeError("the cases of this pipeline are bags")
    features = SiteFiles.of(site.folder, config).features
    for index in range(len(patients)):
        yield _slides(trained, bags, index, features)


def _slides(trained: TrainedModel, bags: BagDataset, index: int, folder: Path) -> list[SlideTiles]:
    for file, _ in bags.tiles(index):
        if not bags.headers[file].has_coords:
            raise DataError("MS-E010", "the feature file has no coordinates", file=file)
    bag = bags[index][0]
    scores, corners = tile_scores(trained, bag), bag["coords"].double().numpy()
    slides, start = [], 0
    for file, count in bags.tiles(index):
        rows = slice(start, start + count)
        edge = bags.headers[file].tile_size_um
        if edge is None:
            raise DataError("MS-B005", "the file does not say the tile size", file=file)
        name = file.relative_to(folder).with_suffix("").as_posix()
        slides.append(
            SlideTiles(name, corners[rows], edge, {key: values[rows] for key, values in scores.items()})
        )
        start += count
    return slides
