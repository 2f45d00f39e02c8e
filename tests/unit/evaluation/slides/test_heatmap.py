"""Maps of a patient's slides: each tile in its place, in QuPath's form, with or without the image."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image
from typing_extensions import Self

from mediswarm.data.bags.feature_writer import write_features
from mediswarm.errors import ContractError, DataError, HostError
from mediswarm.evaluation.slides.heatmap import draw_heatmaps
from mediswarm.evaluation.slides.slide_tiles import SlideTiles, patient_slides
from mediswarm.evaluation.slides.tile_scores import tile_scores
from mediswarm.evaluation.slides.tile_table import write_tile_table
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines import Site

Load = Callable[..., TrainedModel]


@pytest.fixture
def several(north: Site) -> tuple[str, list[str]]:
    """A patient with three slides, and their names."""
    names = sorted(file.stem for file in (north.folder / "features").iterdir())
    uid = next(name[:-2] for name in names if name.endswith("_3"))
    return uid, [name for name in names if name.startswith(f"{uid}_")]


def draw(trained: TrainedModel, site: Site, uid: str, out: Path, **given: Any) -> list[Path]:
    return list(draw_heatmaps(trained, site, [uid], out, given.get("slides"), given.get("mpp")))


def test_each_tile_is_of_its_slide(load_model: Load, north: Site, several: tuple[str, list[str]]) -> None:
    uid, names = several
    trained = load_model("classification", "abmil")
    (slides,) = patient_slides(trained, north, [uid])
    assert [slide.name for slide in slides] == names
    splits = trained.pipeline.data(north)
    cases = next(part for part in (splits.train, splits.validation, splits.test) if uid in part.ids)
    whole = tile_scores(trained, cases.dataset[list(cases.ids).index(uid)][0])
    for slide in slides:
        with h5py.File(north.folder / "features" / f"{slide.name}.h5") as file:
            np.testing.assert_array_equal(slide.corners, file["coords"][:])
        assert slide.edge == 256.0
    for name, values in whole.items():
        np.testing.assert_array_equal(np.concatenate([slide.scores[name] for slide in slides]), values)


def test_what_is_written(
    load_model: Load, north: Site, several: tuple[str, list[str]], tmp_path: Path
) -> None:
    uid, names = several
    trained = load_model("classification", "vit")
    written = draw(trained, north, uid, tmp_path, mpp=0.5)
    folder = tmp_path / uid
    expected = [folder / f"{name}{ending}" for name in names for ending in (".png", ".geojson")]
    assert written == [*expected, folder / "tiles.csv"]
    (slides,) = patient_slides(trained, north, [uid])
    for slide in slides:
        document = json.loads((folder / f"{slide.name}.geojson").read_text())
        assert document["type"] == "FeatureCollection"
        assert len(document["features"]) == len(slide.corners)
        for (x, y), tile, rare in zip(
            slide.corners.tolist(), document["features"], slide.scores["score_rare"], strict=True
        ):
            left, top, right, bottom = 2 * x, 2 * y, 2 * x + 512, 2 * y + 512
            ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
            assert tile["geometry"] == {"type": "Polygon", "coordinates": [ring]}
            assert tile["properties"]["objectType"] == "tile"
            assert set(tile["properties"]["measurements"]) == set(slide.scores)
            assert tile["properties"]["measurements"]["score_rare"] == pytest.approx(rare, rel=1e-5)
            red, _, blue = tile["properties"]["color"]
            shown = slide.scores[next(iter(slide.scores))][int(tile["properties"]["name"])]
            assert (red >= blue) if shown > 0 else (red <= blue)
        picture = imread(folder / f"{slide.name}.png")
        assert len(np.unique(picture[..., 1])) > 20


def test_without_a_pixel_size_squares_are_in_um(
    load_model: Load, north: Site, several: tuple[str, list[str]], tmp_path: Path
) -> None:
    uid, names = several
    draw(load_model("regression"), north, uid, tmp_path)
    first = json.loads((tmp_path / uid / f"{names[0]}.geojson").read_text())["features"][0]
    (left, top), (right, _) = first["geometry"]["coordinates"][0][:2]
    assert (left, top, right) == (0, 0, 256)
    assert set(first["properties"]["measurements"]) == {"score_prediction"}


def test_features_of_another_extractor_than_the_run_s_are_not_drawn(
    load_model: Load, save_model: Callable[..., Path], north: Site, tmp_path: Path
) -> None:
    run = save_model("regression")
    trained = TrainedModel.load(run)
    contract = trained.pipeline.contract() | trained.pipeline.patients(north).measured()
    (run / "run.json").write_text(json.dumps({"contract": contract}))
    assert draw(TrainedModel.load(run), north, "north-0001", tmp_path / "maps")
    contract["measured_features"]["extractor_hash"] = "ffffffff"
    (run / "run.json").write_text(json.dumps({"contract": contract}))
    with pytest.raises(ContractError, match="ffffffff") as caught:
        draw(TrainedModel.load(run), north, "north-0001", tmp_path / "other")
    assert caught.value.code == "MS-C001"
    assert not (tmp_path / "other").exists()


def test_a_patient_needs_neither_a_label_nor_a_split(load_model: Load, north: Site, tmp_path: Path) -> None:
    shutil.copytree(north.folder, tmp_path / "data" / "north")
    clini = tmp_path / "data" / "north" / "clini.csv"
    clini.write_text("PATIENT\nnorth-0001\n")
    (clini.parent / "slide.csv").write_text("PATIENT,FILENAME\nnorth-0001,north-0001_1.h5\n")
    assert draw(load_model("binary"), Site("north", tmp_path / "data"), "north-0001", tmp_path / "maps")


def test_the_table_has_both_ends(tmp_path: Path) -> None:
    corners = np.stack([np.arange(30) * 256.0, np.zeros(30)], axis=1)
    values = np.random.default_rng(0).permutation(30).astype(float)
    slides = [
        SlideTiles("one", corners[:20], 256.0, {"score_x": values[:20]}),
        SlideTiles("two", corners[20:], 256.0, {"score_x": values[20:]}),
    ]
    write_tile_table(tmp_path / "tiles.csv", slides)
    with (tmp_path / "tiles.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["value"]) for row in rows] == [*range(29, 19, -1), *range(10)]
    for row in rows:
        index = int(np.flatnonzero(values == float(row["value"]))[0])
        assert (row["slide"], float(row["x_um"])) == ("one" if index < 20 else "two", 256.0 * index)
    assert [row["end"] for row in rows] == ["top"] * 10 + ["bottom"] * 10
    write_tile_table(tmp_path / "few.csv", [SlideTiles("s", corners[:3], 256.0, {"score_x": values[:3]})])
    assert len((tmp_path / "few.csv").read_text().splitlines()) == 1 + 3


def test_who_cannot_be_drawn(
    load_model: Load, north: Site, several: tuple[str, list[str]], tmp_path: Path
) -> None:
    uid, names = several
    with pytest.raises(DataError, match="no patient nobody") as caught:
        draw(load_model("regression"), north, "nobody", tmp_path)
    assert caught.value.code == "MS-E009"
    shutil.copytree(north.folder, tmp_path / "data" / "north")
    file = tmp_path / "data" / "north" / "features" / f"{names[1]}.h5"
    with h5py.File(file, "a") as opened:
        del opened["coords"]
    with pytest.raises(DataError) as caught:
        draw(load_model("regression"), Site("north", tmp_path / "data"), uid, tmp_path / "out")
    assert (caught.value.code, caught.value.file) == ("MS-E010", str(file))
    assert not list(tmp_path.glob("out/**/*.png"))
    with pytest.raises(DataError, match="level slide") as caught:
        draw(load_model("regression", "linear", level="slide"), north, uid, tmp_path)
    assert caught.value.code == "MS-E010"


def test_an_id_cannot_lead_out_of_the_folder(load_model: Load, north: Site, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "north"
    shutil.copytree(north.folder, folder)
    random = np.random.default_rng(0)
    write_features(
        folder / "features" / "sub" / "a.h5",
        random.normal(size=(5, 8)),
        np.zeros((5, 2)),
        extractor="synthetic-0a1b2c3d",
    )
    with (folder / "clini.csv").open("a") as clini, (folder / "slide.csv").open("a") as slide:
        clini.write("../x,common,low,0.1,50,dead\n")
        slide.write("../x,sub/a.h5\n")
    files = draw(load_model("regression"), Site("north", tmp_path / "data"), "../x", tmp_path / "out")
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == [
        "%2E%2E%2Fx/sub/a.png",
        "%2E%2E%2Fx/sub/a.geojson",
        "%2E%2E%2Fx/tiles.csv",
    ]


class StandIn:
    """What is used of an OpenSlide object."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if file.read_text() == "broken":
            raise StandInError
        self.dimensions = (10_000, 8_000)
        self.properties = json.loads(file.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_thumbnail(self, most: tuple[int, int]) -> Image.Image:
        assert max(most) <= 4000
        return Image.new("RGBA", (100, 80), (20, 160, 40, 255))


class StandInError(Exception):
    """What OpenSlide raises of a file that it cannot read."""


@pytest.fixture
def openslide(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(OpenSlide=StandIn, OpenSlideError=StandInError)
    monkeypatch.setitem(sys.modules, "openslide", module)


@pytest.mark.usefixtures("openslide")
def test_the_image_behind_the_map(
    load_model: Load, north: Site, several: tuple[str, list[str]], tmp_path: Path
) -> None:
    uid, names = several
    trained, images = load_model("regression"), tmp_path / "images"
    images.mkdir()

    def code(**given: Any) -> str:
        with pytest.raises(DataError) as caught:
            draw(trained, north, uid, tmp_path / "none", slides=images, **given)
        return caught.value.code

    assert code() == "MS-E012"
    for name in names:
        (images / f"{name}.svs").write_text("{}")
    assert code() == "MS-E013"
    for size in ("nan", "inf", "-1"):
        said = json.dumps({"openslide.mpp-x": size, "openslide.mpp-y": "0.5"})
        (images / f"{names[0]}.svs").write_text(said)
        assert code() == "MS-E013"
    (images / f"{names[0]}.svs").write_text("broken")
    assert code() == "MS-E012"
    (images / f"{names[0]}.svs").write_text('{"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.5"}')
    draw(trained, north, uid, tmp_path / "out", slides=images, mpp=2.0)

    def first_ring(name: str) -> list[list[float]]:
        document = json.loads((tmp_path / "out" / uid / f"{name}.geojson").read_text())
        ring: list[list[float]] = document["features"][0]["geometry"]["coordinates"][0]
        return ring

    assert first_ring(names[0])[2] == [1024, 512]
    assert first_ring(names[1])[2] == [128, 128]
    picture = imread(tmp_path / "out" / uid / f"{names[0]}.png")[..., :3]
    green = np.abs(picture - np.array([20, 160, 40]) / 255).max(axis=-1) < 0.02
    assert green.mean() > 0.1
    (images / f"{names[0]}.tif").write_text("{}")
    assert code(mpp=1.0) == "MS-E012"


def test_openslide_is_optional(
    load_model: Load, north: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(HostError) as caught:
        draw(load_model("regression"), north, "north-0001", tmp_path, slides=tmp_path)
    assert caught.value.code == "MS-E011"
