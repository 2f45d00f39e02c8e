"""Both breasts in one volume, beside the two: the same voxels, the same splits, as safe to interrupt."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mediswarm.data.prepare.manifest import preprocessing_tags
from mediswarm.data.prepare.preparation import Preparation
from mediswarm.pipelines.base import Site
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig

from .conftest import SMALL_GRID

MakeSite = Callable[..., Path]
Prepared = Callable[..., Preparation]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def statuses(done: Preparation) -> list[str]:
    return [outcome.status for outcome in done.outcomes]


def exclude(source: Path, row: str) -> None:
    table = source / "labels.csv"
    assert row in table.read_text()
    table.write_text(table.read_text().replace(row, row.rpartition(",")[0] + ",excluded"))


def test_the_volume_holds_the_left_breast_and_then_the_right_one(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    prepared(make_site(), both=True)
    both = nibabel.load(tmp_path / "output" / "data" / "C0" / "Sub_1.nii.gz")
    assert both.shape == (128, 64, 16)
    halves = np.split(both.get_fdata(), 2)
    for side, half in zip(("left", "right"), halves, strict=True):
        one = nibabel.load(tmp_path / "output" / "data_unilateral" / f"C0_{side}" / "Sub_1.nii.gz")
        np.testing.assert_allclose(half, one.get_fdata(), atol=np.abs(both.get_fdata()).max() / 30000)
        start = both.affine @ [64 if side == "right" else 0, 0, 0, 1]
        np.testing.assert_allclose(one.affine @ [0, 0, 0, 1], start, atol=1e-3)


def test_the_pipeline_takes_them_in_the_splits_of_the_single_breasts(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    source = make_site(9)
    exclude(source, "C4,P4,51,right,2")
    assert statuses(prepared(source, output="data/here", both=True)) == ["prepared"] * 9
    here = tmp_path / "data" / "here"
    labels = {
        (row["UID"], side): row[f"Lesion_{side.capitalize()}"]
        for row in rows(here / "metadata" / "annotation.csv")
        for side in ("left", "right")
    }
    assert len(labels) == 16  # of the case with one breast left out, there is no volume of both
    single = {row["UID"]: row["Lesion"] for row in rows(here / "metadata_unilateral" / "annotation.csv")}
    assert {f"{case}_{side}": label for (case, side), label in labels.items()}.items() < single.items()
    split = {(row["UID"], row["Fold"]): row["Split"] for row in rows(here / "metadata" / "split.csv")}
    assert len(split) == 40
    for row in rows(here / "metadata_unilateral" / "split.csv"):
        case = row["UID"].rpartition("_")[0]
        assert split.get((case, row["Fold"]), row["Split"]) == row["Split"]
    config = {"laterality": "original", "input_size": [128, 64, 16], "backbone": {"name": "cnn3d"}}
    pipeline = Odelia(OdeliaConfig.model_validate(config))
    site = Site("here", tmp_path / "data")
    assert [finding for finding in pipeline.check(site) if finding.status == "FAIL"] == []
    assert pipeline.data(site).measured["prepared"] == SMALL_GRID.tag


def test_nothing_is_done_twice_what_is_damaged_is_done_again_and_what_was_asked_for_once_is_kept(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    source, output = make_site(2), tmp_path / "output"
    prepared(source)
    assert statuses(prepared(source, both=True))[:2] == ["prepared"] * 2
    assert statuses(prepared(source, both=True))[:2] == ["kept"] * 2
    file = output / "data" / "C1" / "Sub_1.nii.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    (output / "data" / "C0" / ".Sub_1.nii.gz.partial").write_bytes(b"half")
    assert statuses(prepared(source, both=True))[:2] == ["kept", "prepared"]
    assert file.read_bytes() == whole
    assert not list((output / "data").rglob(".*"))
    assert {"C0", "C0_left"} < preprocessing_tags(output).keys()
    # asked for once, they are kept, and so are their tables
    assert statuses(prepared(source))[:2] == ["kept"] * 2
    assert file.read_bytes() == whole
    assert len(rows(output / "metadata" / "annotation.csv")) == 2


@pytest.mark.parametrize("later", [True, False])
def test_a_breast_that_is_excluded_takes_the_volume_of_both_away(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path, later: bool
) -> None:
    source = make_site()
    if later:
        prepared(source, both=True)
    exclude(source, "C0,P0,51,right,1")
    prepared(source, both=True)
    assert not list((tmp_path / "output").glob("data/*/*"))
    assert rows(tmp_path / "output" / "metadata" / "annotation.csv") == []
