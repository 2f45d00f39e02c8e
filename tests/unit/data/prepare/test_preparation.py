"""A site's examinations together: what is done again, what is kept, what never leaves the header."""

from __future__ import annotations

import gzip
import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from mediswarm.data.findings import Finding
from mediswarm.data.prepare.manifest import check_preprocessing, preprocessing_tags
from mediswarm.data.prepare.preparation import Preparation, prepare_dicom, tag_prepared
from mediswarm.data.synthetic_dicom import Scan
from mediswarm.errors import DataError, HostError, UsageError
from mediswarm.pipelines.base import Site
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig

from .conftest import SMALL_GRID, SMALL_SCAN

MakeSite = Callable[..., Path]
Prepared = Callable[..., Preparation]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def statuses(done: Preparation) -> list[str]:
    return [outcome.status for outcome in done.outcomes]


def test_the_pipeline_takes_what_was_prepared(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    done = prepared(make_site(9))
    assert statuses(done) == ["prepared"] * 9
    (tmp_path / "data").mkdir()
    (tmp_path / "output").rename(tmp_path / "data" / "here")
    pipeline = Odelia(
        OdeliaConfig.model_validate({"input_size": SMALL_GRID.size, "backbone": {"name": "cnn3d"}})
    )
    findings = pipeline.check(Site("here", tmp_path / "data", None, "cpu"))
    assert [finding for finding in findings if finding.status == "FAIL"] == []
    assert any("RAS, 2.8 x 2.8 x 6 mm" in finding.message for finding in findings)


@pytest.mark.parametrize(
    ("laterality", "folder", "uids", "size"),
    [
        ("unilateral", "data_unilateral", ("C1_left", "C2_left"), SMALL_GRID.size),
        ("original", "data", ("C1", "C2"), (128, 64, 16)),
    ],
)
def test_a_volume_that_was_replaced_fails_the_full_check(
    make_site: MakeSite,
    prepared: Prepared,
    tmp_path: Path,
    laterality: str,
    folder: str,
    uids: tuple[str, str],
    size: tuple[int, ...],
) -> None:
    scans = (SMALL_SCAN, Scan(size=(44, 38, 13), spacing=SMALL_SCAN.spacing))
    prepared(make_site(9, scans), output="data/here", both=laterality == "original")
    images = tmp_path / "data" / "here" / folder
    shutil.copy(images / uids[0] / "Sub_1.nii.gz", images / uids[1] / "Sub_1.nii.gz")
    config = {"laterality": laterality, "input_size": size, "backbone": {"name": "cnn3d"}}
    pipeline = Odelia(OdeliaConfig.model_validate(config))
    site = Site("here", tmp_path / "data", None, "cpu")
    failed = [finding for finding in pipeline.check(site) if finding.status == "FAIL"]
    assert [(finding.code, finding.cases) for finding in failed] == [("MS-X027", (uids[1],))]
    assert "preparation: 1" in failed[0].message
    # a second preparation, as the repair says, makes it again
    prepared(tmp_path / "input", output="data/here", both=laterality == "original")
    assert [finding for finding in pipeline.check(site) if finding.status == "FAIL"] == []


def test_nothing_is_done_twice_and_what_changed_is_done_again(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    source, output = make_site(3), tmp_path / "output"
    prepared(source)
    before = tree(output)
    assert statuses(prepared(source))[:3] == ["kept"] * 3
    assert tree(output) == before
    # another input, a damaged output, a leaving of a killed process
    file = next((source / "exam0" / "S2").iterdir())
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(file)
    (output / "data_unilateral" / "C1_left" / "Sub_1.nii.gz").write_bytes(b"")
    (output / "data_unilateral" / "C2_left" / ".Sub_1.nii.gz.partial").write_bytes(b"half")
    assert statuses(prepared(source))[:3] == ["prepared", "prepared", "kept"]
    after = tree(output)
    assert after.keys() == before.keys()
    assert after["data_unilateral/C1_left/Sub_1.nii.gz"] == before["data_unilateral/C1_left/Sub_1.nii.gz"]
    assert after["data_unilateral/C0_left/Sub_1.nii.gz"] != before["data_unilateral/C0_left/Sub_1.nii.gz"]


def test_a_breast_that_is_excluded_later_is_taken_away(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    source = make_site()
    prepared(source)
    table = source / "labels.csv"
    table.write_text(table.read_text().replace("right,1", "right,excluded"))
    prepared(source)
    assert [folder.name for folder in (tmp_path / "output" / "data_unilateral").iterdir()] == ["C0_left"]


@pytest.mark.parametrize("both", [False, True])
def test_a_table_that_excludes_every_breast_is_told(
    make_site: MakeSite, prepared: Prepared, both: bool
) -> None:
    source = make_site()
    table = source / "labels.csv"
    table.write_text(
        table.read_text().replace("left,0", "left,excluded").replace("right,1", "right,excluded")
    )
    done = prepared(source, both=both)
    assert [(outcome.case, outcome.code) for outcome in done.failed] == [("–", "MS-X022")]
    assert "excludes every breast" in done.failed[0].message
    assert done.page is not None
    assert "MS-X022" in done.page.read_text(encoding="utf-8")


@pytest.mark.parametrize("both", [False, True])
def test_what_is_left_of_a_case_without_a_row_is_told(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path, both: bool
) -> None:
    source, output = make_site(9), tmp_path / "output"
    assert prepared(source, both=both).failed == []
    (output / "data" / "made_by_hand").mkdir(parents=True)
    table = source / "labels.csv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(row for row in rows if not row.startswith("C0,")))
    shutil.rmtree(source / "exam0")
    failed = prepared(source).failed
    assert [(one.case, one.code) for one in failed] == [("–", "MS-X028")]
    assert failed[0].message.endswith("label table: 1")
    listed = [Path(name) for name in failed[0].detail.split(", ")]
    names = ["manifests/C0.json", "data_unilateral/C0_left", "data_unilateral/C0_right"]
    names += ["qc/C0_left.png", "qc/C0_right.png", *(["data/C0"] if both else [])]
    assert listed == [output / name for name in names]
    # what the repair says
    for entry in listed:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    assert prepared(source).failed == []
    assert not [path for path in output.rglob("*") if "C0" in path.name]
    for file in output.rglob("*.csv"):
        assert "C0" not in file.read_text()


def test_a_bad_case_is_told_and_the_others_are_done(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    source = make_site(7)
    shutil.rmtree(source / "exam1" / "S2")
    shutil.rmtree(source / "exam2")
    shutil.copytree(source / "exam0", source / "Doe, Jane")
    done = prepared(source)
    failed = {outcome.case: outcome.code for outcome in done.failed}
    assert failed == {"C1": "MS-X012", "C2": "MS-X008", "–": "MS-X007"}
    assert done.count("prepared") == 5
    page = (tmp_path / "output" / "qc" / "index.html").read_text(encoding="utf-8")
    assert "MS-X012" in page
    assert "Jane" not in page
    assert "Doe, Jane" in done.failed[-1].detail
    split = (tmp_path / "output" / "metadata_unilateral" / "split.csv").read_text()
    assert "C0_left" in split
    assert "C1_left" not in split


def test_nothing_of_the_header_is_in_the_output(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    source = make_site(6)
    shutil.rmtree(source / "exam1" / "S2")
    done = prepared(source)
    header = pydicom.dcmread(next((source / "exam0" / "S2").iterdir()))
    secrets = [
        str(getattr(header, name)).encode()
        for name in (
            *(
                "PatientName",
                "PatientID",
                "PatientBirthDate",
                "StudyDate",
                "AccessionNumber",
                "InstitutionName",
            ),
            *("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"),
            *("AcquisitionTime", "SeriesDescription"),
        )
    ] + [b"exam0", b"exam1", str(tmp_path).encode()]
    files = tree(tmp_path / "output")
    assert len(files) > 20
    for name, content in files.items():
        plain = gzip.decompress(content) if name.endswith(".gz") else content
        for secret in secrets:
            assert secret not in plain, (name, secret)
            assert secret.decode() not in name
    said = " ".join(outcome.message + outcome.repair for outcome in done.outcomes)
    assert not [secret for secret in secrets if secret.decode() in said]


@pytest.mark.parametrize("column", ["Case", "PatientID"])
def test_an_identity_is_no_pseudonym(make_site: MakeSite, prepared: Prepared, column: str) -> None:
    source = make_site()
    table = source / "labels.csv"
    table.write_text(table.read_text().replace({"Case": "C0", "PatientID": "P0"}[column], "mrn-4711"))
    assert prepared(source).outcomes[0].code == "MS-X020"
    for file in (source / "exam0").rglob("*"):
        if file.is_file():
            dataset = pydicom.dcmread(file)
            dataset.PatientIdentityRemoved = "YES"
            dataset.save_as(file)
    assert prepared(source).outcomes[0].status == "prepared"


def test_a_folder_in_the_layout_is_tagged_where_it_lies(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path
) -> None:
    prepared(make_site(2))
    root = tmp_path / "output"
    made = preprocessing_tags(root)
    before = tree(root / "data_unilateral")
    shutil.rmtree(root / "manifests")
    shutil.rmtree(root / "qc")
    silent = lambda total, outcome: None  # noqa: E731
    assert statuses(tag_prepared(root, 1, silent, SMALL_GRID)) == ["prepared"] * 2
    assert statuses(tag_prepared(root, 1, silent, SMALL_GRID)) == ["kept"] * 2
    assert tree(root / "data_unilateral") == before
    tags = preprocessing_tags(root)
    assert tags.keys() == made.keys()
    assert set(tags.values()) == {"odelia-layout/Sub_1/RAS/2.8x2.8x6mm/64x64x16"}
    assert [finding.status for finding in check_preprocessing(root, tags)] == ["PASS"]
    # of another size than is prepared: refused, and the tag is gone
    (root / "manifests" / "C1.json").unlink()
    wrong = tag_prepared(root, 1, silent, SMALL_GRID.model_copy(update={"size": (64, 64, 8)}))
    assert [outcome.code for outcome in wrong.failed] == ["MS-X023"]


def test_mixed_preprocessing_is_a_failure(make_site: MakeSite, prepared: Prepared, tmp_path: Path) -> None:
    prepared(make_site(2))
    root = tmp_path / "output"
    uids = list(preprocessing_tags(root))
    assert check_preprocessing(tmp_path, uids) == []
    assert check_preprocessing(root, uids)[0].status == "PASS"
    file = root / "manifests" / "C1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"preprocessing": "another"}))
    finding: Finding = check_preprocessing(root, uids)[0]
    assert (finding.status, finding.code) == ("FAIL", "MS-X025")
    assert "2 another" in finding.message
    assert check_preprocessing(root, [*uids[:2], "untagged_left"])[0].status == "FAIL"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_for_which_there_is_no_room_names_the_output(
    make_site: MakeSite, prepared: Prepared, tmp_path: Path, workers: int
) -> None:
    source = make_site(2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        with pytest.raises(HostError) as caught:
            prepared(source, workers=workers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "MS-H004"
    assert str(caught.value.file).startswith(str(tmp_path / "output" / "data_unilateral"))
    assert "finished cases are kept" in caught.value.repair
    assert statuses(prepared(source))[:2] == ["prepared"] * 2


def test_folders_that_cannot_be(make_site: MakeSite, tmp_path: Path) -> None:
    source = make_site()

    def failing(folder: Path, output: Path) -> str:
        with pytest.raises((DataError, UsageError)) as caught:
            prepare_dicom(folder, output, source / "labels.csv", None, 1, lambda total, outcome: None)
        return caught.value.code

    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    assert failing(source, source / "out") == "MS-X009"
    assert failing(source, tmp_path / "file" / "out") == "MS-X009"
    assert failing(tmp_path / "empty", tmp_path / "out") == "MS-X002"
