"""An input that cannot be read completely: an error of the case that it belongs to, and of no other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from mediswarm.data.prepare.case import CaseOutcome
from mediswarm.data.prepare.preparation import Preparation, prepare_dicom

from .conftest import SMALL_GRID

MakeSite = Callable[..., Path]
Outcome = Callable[..., CaseOutcome]
_SOMEBODY = 65534


@contextmanager
def as_somebody(source: Path) -> Iterator[Path]:
    """A folder that holds `input`, seen by an account that permissions hold for, as they do not for root."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(source, folder / "input")
    root = os.geteuid() == 0
    try:
        if root:
            # so that all is imported; that account may not be let to where Python lies
            prepare_in(folder, "before")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, _SOMEBODY, -1)
            os.seteuid(_SOMEBODY)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in [folder, *folder.glob("input/*"), *folder.glob("input/*/*"), *folder.glob("input/*/*/*")]:
            path.chmod(0o700)
        shutil.rmtree(folder)


def prepare_in(folder: Path, output: str = "output") -> Preparation:
    source = folder / "input"
    return prepare_dicom(
        source, folder / output, source / "labels.csv", None, 1, lambda total, outcome: None, SMALL_GRID
    )


def halve(series: Path) -> Path:
    """Move half of the slices into a subfolder, so that what is left would still be a volume."""
    files = sorted(series.iterdir(), key=lambda file: int(file.name.rpartition(".")[2]))
    (series / "rest").mkdir()
    for file in files[len(files) // 2 :]:
        file.rename(series / "rest" / file.name)
    return series / "rest"


@pytest.mark.parametrize(("locked", "mode"), [("S2/rest", 0o000), ("S2/rest", 0o400), (".", 0o000)])
def test_a_folder_that_cannot_be_read_fails_its_case_alone(
    make_site: MakeSite, locked: str, mode: int
) -> None:
    source = make_site(2)
    halve(source / "exam0" / "S2")
    with as_somebody(source) as folder:
        place = folder / "input" / "exam0" / locked
        place.chmod(mode)
        done = prepare_in(folder)
        place.chmod(0o700)
    assert [outcome.status for outcome in done.outcomes[:2]] == ["failed", "prepared"]
    assert done.failed[0].code == "MS-X010"
    assert str(place) in done.failed[0].detail
    assert "right to read" in done.failed[0].repair
    assert str(place) not in done.failed[0].message


def test_a_link_to_where_one_may_not_look_stops_no_other_case(make_site: MakeSite) -> None:
    source = make_site(2)
    with as_somebody(source) as folder:
        (folder / "locked").mkdir()
        (folder / "input" / "exam0").rename(folder / "locked" / "exam0")
        (folder / "input" / "exam0").symlink_to(folder / "locked" / "exam0")
        (folder / "locked").chmod(0)
        done = prepare_in(folder)
        (folder / "locked").chmod(0o700)
    assert [outcome.status for outcome in done.outcomes[:2]] == ["failed", "prepared"]
    assert done.failed[0].code == "MS-X010"


def test_linked_folders_are_followed(make_site: MakeSite, outcome: Outcome, tmp_path: Path) -> None:
    source = make_site()
    (source / "exam0" / "S2").rename(tmp_path / "elsewhere")
    (source / "exam0" / "S2").symlink_to(tmp_path / "elsewhere")
    assert outcome(source).status == "prepared"


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("round", "..", "that it lies in"),
        ("others", "../../../input", "that it lies in"),
        ("gone", "nowhere", "link to nothing"),
        ("itself", "itself", ""),
    ],
)
def test_a_link_that_cannot_be_followed_is_named(
    make_site: MakeSite, outcome: Outcome, name: str, target: str, said: str
) -> None:
    source = make_site()
    link = source / "exam0" / "S2" / name
    link.symlink_to(target)
    found = outcome(source)
    assert (found.code, found.detail) == ("MS-X010", str(link))
    assert said in found.message


def test_files_beside_the_folders_are_told_of(
    make_site: MakeSite, prepared: Callable[..., Preparation]
) -> None:
    source = make_site(7)
    first, second, third = sorted((source / "exam0" / "S3").iterdir())[:3]
    first.rename(source / "IM0001")
    (source / "IM0002").write_bytes(second.read_bytes()[:700])
    (source / "README").write_text("a file that is not DICOM")
    (source / "gone").symlink_to("nowhere")
    directory = pydicom.dcmread(third)
    directory.SOPClassUID = "1.2.840.10008.1.3.10"
    directory.save_as(source / "DICOMDIR")
    done = prepared(source)
    assert done.count("prepared") == 7
    (found,) = done.failed
    assert (found.code, found.detail) == ("MS-X007", "IM0001, IM0002")
    assert "itself, in no examination's folder: 2" in found.message


@pytest.mark.parametrize("length", [132, 140, 200, 490, 600, 700])
def test_a_file_with_the_mark_of_dicom_is_never_something_else(
    make_site: MakeSite, outcome: Outcome, length: int
) -> None:
    source = make_site()
    slices = sorted((source / "exam0" / "S2").iterdir())
    damaged = slices[3].with_name("IM0001.bak")
    damaged.write_bytes(slices[3].read_bytes()[:length])
    found = outcome(source)
    assert (found.code, found.detail) == ("MS-X010", str(damaged))
