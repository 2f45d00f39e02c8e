"""From a trained model and patients to heatmaps of their slides, in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from mediswarm.evaluation.slides.slide_tiles import SlideTiles, patient_slides
from mediswarm.evaluation.slides.tile_table import write_tile_table
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.evaluation.slides.whole_slide import SlideFolder
from mediswarm.pipelines.base import Site


def draw_heatmaps(
    trained: TrainedModel,
    site: Site,
    patients: list[str],
    out: Path,
    slides: Path | None,
    mpp: float | None,
) -> Iterator[Path]:
    """Write `<PATIENT>/<slide>.png` and `.geojson` for each slide, and `<PATIENT>/tiles.csv`.

    Args:
        trained: the model.
        site: whose patients these are.
        patients: their ids.
        out: the folder.
        slides: folder of whole-slide images; None draws no background.
        mpp: µm in a slide's pixel, where no image says it. Without either, GeoJSON is in µm.

    Yields:
        Each file, when it is written.

    Raises:
        DataError: as :func:`patient_slides`, and MS-E012, MS-E013 for an image.
        HostError: MS-E011 when images are given and OpenSlide is not installed.
    """
    images = SlideFolder(slides, mpp) if slides is not None else None
    for uid, tiles in zip(patients, patient_slides(trained, site, patients), strict=True):
        # an id may hold what a file's name cannot
        folder = out / quote(uid, safe=" ").replace(".", "%2E")
        yield from _patient(tiles, folder, images, mpp)


def _patient(
    slides: list[SlideTiles], folder: Path, images: SlideFolder | None, mpp: float | None
) -> Iterator[Path]:
    from mediswarm.evaluation.slides.colours import Scale  # matplotlib takes its time to load
    from mediswarm.evaluation.slides.geojson import write_geojson
    from mediswarm.evaluation.slides.heatmap_picture import write_heatmap

    scales = {name: Scale.of(slides, name) for name in slides[0].scores}
    shown = next(iter(scales))
    for slide in slides:
        image = images.read(slide.name) if images is not None else None
        pixel = image.mpp if image is not None else (mpp, mpp) if mpp is not None else None
        picture, squares = (folder / f"{slide.name}{ending}" for ending in (".png", ".geojson"))
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_heatmap(picture, slide, scales, image)
        write_geojson(squares, slide, shown, scales[shown], pixel)
        yield from (picture, squares)
    write_tile_table(folder / "tiles.csv", slides)
    yield folder / "tiles.csv"
