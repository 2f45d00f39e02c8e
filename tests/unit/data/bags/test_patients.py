"""Clinical table, slide table and feature files: nothing of them is lost or joined in silence."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mediswarm.data.bags.patients import Patients
from mediswarm.data.findings import raise_on_failure
from mediswarm.errors import DataError

CLINICAL = "PATIENT,SUBTYPE,AGE\np1,a,50\np2,b,60\np3,a,70\n"
SLIDES = "PATIENT,FILENAME\np1,one.h5\np2,two.h5\np3,three.h5\n"


class Folder:
    """A site's tables and (empty) feature files."""

    def __init__(self, folder: Path) -> None:
        self.clinical, self.slides, self.features = (
            folder / "clini.csv",
            folder / "slide.csv",
            folder / "features",
        )
        self.write(CLINICAL, SLIDES, "one", "two", "three")

    def write(self, clinical: str, slides: str, *files: str) -> None:
        self.clinical.write_text(clinical)
        self.slides.write_text(slides)
        for name in files:
            file = self.features / f"{name}.h5"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def read(self) -> Patients:
        return Patients.read(self.clinical, self.slides, self.features, ("SUBTYPE",))

    def codes(self) -> list[tuple[str, str | None]]:
        return [(finding.status, finding.code) for finding in self.read().findings]


@pytest.fixture
def site(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_rows_and_files_of_each_patient(site: Folder) -> None:
    found = site.read()
    assert found.findings == []
    assert list(found.patients) == ["p1", "p2", "p3"]
    assert found.patients["p2"].row == {"PATIENT": "p2", "SUBTYPE": "b", "AGE": "60"}
    assert found.patients["p2"].line == 3
    assert found.patients["p2"].files == (site.features / "two.h5",)


def test_all_slides_of_a_patient_are_in_its_bag_whatever_their_order(site: Folder) -> None:
    # D8: rows that are not sorted by patient
    slides = "PATIENT,FILENAME\np1,z.h5\np2,two.h5\np1,sub/a.h5\np3,three.h5\np2,b.h5\np1,one.h5\n"
    site.write(CLINICAL, slides, "z", "sub/a", "b")
    found = site.read()
    assert found.findings == []
    files = {
        uid: [str(file.relative_to(site.features)) for file in p.files] for uid, p in found.patients.items()
    }
    assert files == {"p1": ["one.h5", "sub/a.h5", "z.h5"], "p2": ["b.h5", "two.h5"], "p3": ["three.h5"]}
    head, *rows = slides.strip().split("\n")
    site.slides.write_text("\n".join([head, *sorted(rows)]))
    assert site.read().patients == found.patients


def test_without_a_slide_table_each_patient_has_one_file(site: Folder) -> None:
    for name in ("p1", "p2", "other"):
        (site.features / f"{name}.h5").touch()
    found = Patients.read(site.clinical, None, site.features, ("SUBTYPE",))
    assert {uid: p.files for uid, p in found.patients.items()} == {
        uid: (site.features / f"{uid}.h5",) for uid in ("p1", "p2")
    }
    assert [(f.code, f.cases) for f in found.findings] == [
        ("MS-B025", ("p3",)),
        ("MS-B027", ("one.h5", "other.h5", "three.h5", "two.h5")),
    ]


def test_columns_can_have_other_names(site: Folder) -> None:
    site.write("ID;SUBTYPE\np1;a\n", "ID;SLIDE\np1;one.h5\n")
    found = Patients.read(
        site.clinical, site.slides, site.features, ("SUBTYPE",), patient="ID", filename="SLIDE"
    )
    assert found.patients["p1"].row == {"ID": "p1", "SUBTYPE": "a"}


def test_ids_keep_their_zeros(site: Folder) -> None:
    site.write("PATIENT,SUBTYPE\n007,a\n", "PATIENT,FILENAME\n007,one.h5\n")
    assert list(site.read().patients) == ["007"]


@pytest.mark.parametrize(
    ("clinical", "slides", "expected"),
    [
        # D9: two rows of a patient that contradict one another, and two that do not
        (CLINICAL + "p1,b,50\n", SLIDES, [("FAIL", "MS-B020")]),
        (CLINICAL + "p1,a,51\n", SLIDES, [("WARN", "MS-B021")]),
        # D2: ids of one table that are not in the other
        (CLINICAL + "p4,a,1\n", SLIDES, [("WARN", "MS-B025")]),
        (CLINICAL.replace("p3,a,70\n", ""), SLIDES, [("WARN", "MS-B026")]),
        (CLINICAL, SLIDES.replace("p3,three.h5\n", ""), [("WARN", "MS-B025"), ("WARN", "MS-B027")]),
        (CLINICAL + ",a,1\n", SLIDES, [("FAIL", "MS-D105")]),
        (CLINICAL, SLIDES + ",more.h5\n", [("FAIL", "MS-D105"), ("FAIL", "MS-B023")]),
        (CLINICAL, SLIDES + "p1,\n", [("FAIL", "MS-D105")]),
        (CLINICAL, SLIDES + "p1,gone.h5\n", [("FAIL", "MS-B023")]),
        # one file of two patients would put one slide on both sides of a split
        (CLINICAL, SLIDES + "p1,two.h5\n", [("FAIL", "MS-B024")]),
        (CLINICAL, SLIDES + "p2,two.h5\n", [("FAIL", "MS-B024")]),
        # D11
        (CLINICAL + "0p1,a,50\n", SLIDES, [("FAIL", "MS-D104"), ("WARN", "MS-B025")]),
        (
            CLINICAL.replace("p1", "17"),
            SLIDES.replace("p1", "0017"),
            [("FAIL", "MS-D104"), ("WARN", "MS-B026"), ("WARN", "MS-B025")],
        ),
        (
            "PATIENT,SUBTYPE\nq,a\n",
            SLIDES,
            [("WARN", "MS-B026"), ("WARN", "MS-B025"), ("FAIL", "MS-B028")],
        ),
    ],
)
def test_what_does_not_fit_is_said(
    clinical: str, slides: str, expected: list[tuple[str, str]], site: Folder
) -> None:
    site.write(clinical, slides)
    assert sorted(site.codes()) == sorted(expected)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/one.h5", "an absolute path"),
        ("../one.h5", r"a path with \.\."),
        ("sub/../one.h5", r"a path with \.\."),
        ("one.csv", "another ending"),
        ("one", "another ending"),
        (".\\one.h5", "a backslash"),
        ("./one.h5", r"a path with \./"),
    ],
)
def test_names_that_lead_out_of_the_folder_or_to_other_files_are_refused(
    name: str, why: str, site: Folder
) -> None:
    site.write(CLINICAL, SLIDES.replace("one.h5", name))
    assert ("FAIL", "MS-B022") in site.codes()
    with pytest.raises(DataError, match=rf"slide\.csv:2: .* in 1 row\(s\): {why}") as caught:
        raise_on_failure(site.read().findings)
    assert caught.value.repair is not None
    assert "--show-cases" in caught.value.repair


def test_it_is_said_where_files_are_missing(site: Folder) -> None:
    site.write(CLINICAL, SLIDES + "p1,gone.h5\n")
    (missing,) = site.read().findings
    assert missing.message == "1 of 4 feature files are missing in features/"


def test_ids_stand_in_no_message(site: Folder) -> None:
    site.write(CLINICAL + "p1,b,1\np9,a,1\n", SLIDES + "p7,two.h5\np7,gone.h5\n", "extra")
    findings = site.read().findings
    assert len(findings) == 6
    for finding in findings:
        assert finding.cases
        assert not any(case in finding.message for case in finding.cases)


def test_a_missing_column_or_folder_is_an_error(site: Folder) -> None:
    with pytest.raises(DataError) as caught:
        Patients.read(site.clinical, site.slides, site.features, ("GRADE",))
    assert caught.value.code == "MS-D102"
    with pytest.raises(DataError) as caught:
        Patients.read(site.clinical, site.slides, site.features / "none", ("SUBTYPE",))
    assert caught.value.code == "MS-B029"


def test_links_are_followed_and_those_that_lead_nowhere_are_missing_files(
    site: Folder, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (site.features).rename(elsewhere)
    site.features.mkdir()
    (site.features / "slides").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(site.features)
    (site.features / "nowhere.h5").symlink_to("gone.h5")
    (site.features / "itself.h5").symlink_to("itself.h5")
    rows = "PATIENT,FILENAME\np1,slides/one.h5\np2,slides/two.h5\np3,slides/three.h5\n"
    site.slides.write_text(rows)
    assert site.read().findings == []
    site.slides.write_text(rows + "p1,nowhere.h5\np3,itself.h5\n")
    (found,) = site.read().findings
    assert (found.status, found.code, found.cases) == ("FAIL", "MS-B023", ("nowhere.h5", "itself.h5"))
    assert site.read().missing == {site.features / "nowhere.h5", site.features / "itself.h5"}


def test_a_folder_that_cannot_be_listed_is_an_error(site: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write(CLINICAL, SLIDES, "inner/more")
    listed = os.scandir

    def refusing(path: Path) -> Any:
        if path == site.features / "inner":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(path)

    monkeypatch.setattr("mediswarm.data.bags.patients.os.scandir", refusing)
    with pytest.raises(DataError, match="Permission denied") as caught:
        site.read()
    assert (caught.value.code, caught.value.file) == ("MS-B029", str(site.features / "inner"))
