"""Every file of a site is checked, not one batch: by what it says, and in full by its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mediswarm.data.bags.feature_checks import FeatureIdentity, FeatureSurvey
from mediswarm.data.bags.feature_writer import write_features

DECLARED = FeatureIdentity("uni2", "0123abcd", 256.0, 5, "tile")
COORDS = np.zeros((6, 2))


@pytest.fixture
def features() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((6, 5)) for name in "abcd"}


@pytest.fixture
def files(tmp_path: Path, features: dict[str, Any]) -> dict[str, list[Path]]:
    """Four files of three patients."""
    for name, values in features.items():
        write_features(tmp_path / f"{name}.h5", values, COORDS, extractor="uni2-0123abcd")
    return {
        "p1": [tmp_path / "a.h5"],
        "p2": [tmp_path / "b.h5"],
        "p3": [tmp_path / "c.h5", tmp_path / "d.h5"],
    }


def test_files_as_declared(files: dict[str, list[Path]]) -> None:
    survey = FeatureSurvey.of(files, numbers=True)
    assert survey.findings(DECLARED, coords=True) == []
    assert survey.copies() == []
    assert survey.passed()[0].message == (
        "4 of 4 files read; tile features [5] of uni2-0123abcd, tiles of 256 µm; bags of 6 to 12 tiles"
    )


def test_what_sites_must_agree_on(files: dict[str, list[Path]], features: dict[str, Any]) -> None:
    def digest(extractor: str) -> str:
        for name, values in features.items():
            write_features(files["p1"][0].parent / f"{name}.h5", values, extractor=extractor)
        return FeatureSurvey.of(files, numbers=False).measured()["features_digest"]

    measured = FeatureSurvey.of(files, numbers=False).measured()
    assert {name: value for name, value in measured.items() if name != "features_digest"} == {
        "extractor": "uni2",
        "extractor_hash": "0123abcd",
        "tile_size_um": 256.0,
        "features": 5,
        "feat_type": "tile",
    }
    assert digest("uni2-0123abcd") == measured["features_digest"]
    assert digest("uni2-99999999") != measured["features_digest"]
    assert digest("uni-0123abcd") != measured["features_digest"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extractor": "virchow2-0123abcd"}, "extractor virchow2 instead of uni2"),
        ({"extractor": "uni2-99999999"}, "hash of the extractor 99999999 instead of 0123abcd"),
        ({"tile_size_um": 512.0}, "tile size in µm 512 instead of 256"),
    ],
)
def test_one_file_made_in_another_way_is_found(
    change: dict[str, Any], said: str, files: dict[str, list[Path]], features: dict[str, Any]
) -> None:
    # D7: of the same number of features, and the last file of the site
    last = files["p3"][1]
    write_features(last, features["d"], COORDS, **({"extractor": "uni2-0123abcd"} | change))
    mixed, undeclared = FeatureSurvey.of(files, numbers=False).findings(DECLARED, coords=True)
    assert (mixed.status, mixed.code, mixed.cases, mixed.file) == ("FAIL", "MS-B030", ("p3",), str(last))
    assert (undeclared.status, undeclared.code, undeclared.cases) == ("FAIL", "MS-B031", ("p3",))
    assert said in undeclared.message
    assert undeclared.message.startswith("1 of 4 files")


@pytest.mark.parametrize(
    ("declared", "codes"),
    [
        (replace(DECLARED, extractor_hash=""), []),
        (replace(DECLARED, tile_size_um=None), []),
        (replace(DECLARED, extractor="uni"), ["MS-B031"]),
        (replace(DECLARED, features=6), ["MS-B031"]),
        (replace(DECLARED, feat_type="slide"), ["MS-B031"]),
    ],
)
def test_all_files_are_held_against_the_job(
    declared: FeatureIdentity, codes: list[str], files: dict[str, list[Path]]
) -> None:
    findings = FeatureSurvey.of(files, numbers=False).findings(declared, coords=True)
    assert [finding.code for finding in findings] == codes


def test_a_file_without_extractor_is_refused(files: dict[str, list[Path]]) -> None:
    with h5py.File(files["p2"][0], "r+") as file:
        del file.attrs["extractor"]
    (finding,) = FeatureSurvey.of(files, numbers=False).findings(DECLARED, coords=False)
    assert (finding.code, finding.cases, finding.file) == ("MS-B007", ("p2",), str(files["p2"][0]))


def bare(file: Path, features: Any) -> None:
    """Write the form that says nothing of itself."""
    with h5py.File(file, "w") as stored:
        stored["patch_embeddings"] = features.astype(np.float32)


def test_files_that_say_nothing_of_their_extractor(
    files: dict[str, list[Path]], features: dict[str, Any]
) -> None:
    paths = [file for group in files.values() for file in group]
    for file in paths:
        bare(file, features[file.stem])
    (refused,) = FeatureSurvey.of(files, numbers=True).findings(DECLARED, coords=False)
    assert (refused.status, refused.code, len(refused.cases)) == ("FAIL", "MS-B007", 4)
    assert refused.repair is not None
    assert "features.undeclared: true" in refused.repair

    survey = FeatureSurvey.of(files, numbers=True, undeclared=True)
    (said,) = survey.findings(DECLARED, coords=False)
    assert (said.status, said.code) == ("WARN", "MS-B033")
    assert said.message == "4 of 4 files do not say their extractor; the job takes it to be uni2"
    assert (survey.measured()["extractor"], survey.measured()["tile_size_um"]) == (None, None)
    assert "of an extractor that is not said" in survey.passed()[0].message
    # what they do say is held against the job
    other = survey.findings(replace(DECLARED, features=6), coords=True)
    assert [finding.code for finding in other] == ["MS-B031", "MS-B033", "MS-B004"]
    assert other[0].message == "4 of 4 files: dimension 5 instead of 6"

    # a site cannot have both, nor can two sites
    write_features(paths[0], features["a"], extractor="uni2-0123abcd")
    mixed = FeatureSurvey.of(files, numbers=True, undeclared=True)
    assert [finding.code for finding in mixed.findings(DECLARED, coords=False)] == ["MS-B030", "MS-B033"]
    alone = FeatureSurvey.of({"p1": files["p1"]}, numbers=True, undeclared=True)
    assert alone.measured()["features_digest"] != survey.measured()["features_digest"]


def test_a_file_that_names_its_extractor_names_the_tile_size(files: dict[str, list[Path]]) -> None:
    with h5py.File(files["p2"][0], "r+") as file:
        del file.attrs["tile_size_um"], file["coords"]
    survey = FeatureSurvey.of(files, numbers=False, undeclared=True)
    assert [finding.code for finding in survey.findings(DECLARED, coords=False)] == ["MS-B030", "MS-B031"]


def test_coordinates_are_asked_for_only_where_they_are_needed(
    files: dict[str, list[Path]], features: dict[str, Any]
) -> None:
    write_features(files["p2"][0], features["b"], extractor="uni2-0123abcd")
    survey = FeatureSurvey.of(files, numbers=True)
    assert survey.findings(DECLARED, coords=False) == []
    (finding,) = survey.findings(DECLARED, coords=True)
    assert (finding.code, finding.cases) == ("MS-B004", ("p2",))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("array", "code"), [("feats", "MS-B008"), ("coords", "MS-B004")])
def test_numbers_that_are_none_are_found_in_the_full_check(
    value: float, array: str, code: str, files: dict[str, list[Path]]
) -> None:
    with h5py.File(files["p3"][1], "r+") as file:
        file[array][4, 1] = value
    assert FeatureSurvey.of(files, numbers=False).findings(DECLARED, coords=True) == []
    (finding,) = FeatureSurvey.of(files, numbers=True).findings(DECLARED, coords=True)
    assert (finding.code, finding.cases, finding.file) == (code, ("p3",), str(files["p3"][1]))
    assert "1 of 4 files" in finding.message


def test_damaged_files_are_counted_by_rule(files: dict[str, list[Path]]) -> None:
    files["p1"][0].write_bytes(b"")
    files["p3"][0].unlink()
    (finding,) = FeatureSurvey.of(files, numbers=True).findings(DECLARED, coords=True)
    assert (finding.code, finding.cases) == ("MS-B001", ("p1", "p3"))
    assert finding.message.startswith("2 of 4 files")


def test_the_same_features_in_two_files_are_said(
    files: dict[str, list[Path]], features: dict[str, Any]
) -> None:
    # D10
    write_features(files["p2"][0], features["a"], COORDS, extractor="uni2-0123abcd")
    (finding,) = FeatureSurvey.of(files, numbers=True).copies()
    assert (finding.status, finding.code, finding.cases) == ("WARN", "MS-B032", ("p1", "p2"))


def test_without_readable_files_nothing_is_measured(tmp_path: Path) -> None:
    survey = FeatureSurvey.of({"p": [tmp_path / "none.h5"]}, numbers=True)
    assert survey.measured() == {}
    assert survey.passed() == []
    assert [finding.code for finding in survey.findings(DECLARED, coords=True)] == ["MS-B001"]
