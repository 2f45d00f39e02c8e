"""Series that do not form a volume, and files that are damaged: each an error of its own."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from mediswarm.data.prepare.case import CaseOutcome
from mediswarm.data.prepare.manifest import Manifest

Outcome = Callable[..., CaseOutcome]


def by_position(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda file: int(file.name.rpartition(".")[2]))


def change(file: Path, **tags: Any) -> None:
    dataset = pydicom.dcmread(file)
    for name, value in tags.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(file)


def missing_slice(slices: list[Path]) -> None:
    slices[7].unlink()


def missing_slices(slices: list[Path]) -> None:
    for file in slices[7:9]:
        file.unlink()


def another_at_one_place(slices: list[Path]) -> None:
    dataset = pydicom.dcmread(slices[7])
    dataset.SOPInstanceUID = "1.2.3"
    dataset.save_as(slices[7].with_name("again"))


def unequal_steps(slices: list[Path]) -> None:
    x, y, z = pydicom.dcmread(slices[7]).ImagePositionPatient
    change(slices[7], ImagePositionPatient=[x, y, z + 1.5])


def shifted(slices: list[Path]) -> None:
    x, y, z = pydicom.dcmread(slices[7]).ImagePositionPatient
    change(slices[7], ImagePositionPatient=[x + 4, y, z])


def cut_voxels(slices: list[Path]) -> None:
    slices[7].write_bytes(slices[7].read_bytes()[:-500])


def cut_header(slices: list[Path]) -> None:
    slices[7].write_bytes(slices[7].read_bytes()[:300])


FAULTS = {
    missing_slice: ("MS-X016", "lacks 1 slice"),
    missing_slices: ("MS-X016", "lacks 2 slice"),
    another_at_one_place: ("MS-X015", "different ones at one place: 1"),
    unequal_steps: ("MS-X017", "6.50 to 9.50 mm apart"),
    shifted: ("MS-X014", "shifted"),
    cut_voxels: ("MS-X010", "end"),
    cut_header: ("MS-X010", "header"),
    lambda slices: slices[7].write_bytes(b""): ("MS-X010", "mark of DICOM"),
    lambda slices: change(slices[7], PixelSpacing=[5, 5]): ("MS-X014", "pixel spacing"),
    lambda slices: change(slices[7], ImageOrientationPatient=[0, 1, 0, 0, 0, 1]): ("MS-X014", "orientation"),
    lambda slices: change(slices[7], ImagePositionPatient=None): ("MS-X021", "lacks position"),
    lambda slices: change(slices[7], NumberOfFrames="3"): ("MS-X011", "multi-frame"),
    lambda slices: change(slices[7], SamplesPerPixel=3): ("MS-X011", "colour"),
    lambda slices: [file.unlink() for file in slices]: ("MS-X012", "Post_1 is missing"),
    lambda slices: [file.unlink() for file in slices[2:]]: ("MS-X016", "2 slice"),
    lambda slices: [change(file, FrameOfReferenceUID="1.2.9") for file in slices]: (
        "MS-X018",
        "frames of ref",
    ),
}


def test_every_fault_has_its_code(make_site: Callable[..., Path], outcome: Outcome, tmp_path: Path) -> None:
    whole = make_site(name="whole")
    for number, (damage, (code, said)) in enumerate(FAULTS.items()):
        source = tmp_path / f"input{number}"
        shutil.copytree(whole, source)
        damage(by_position(source / "exam0" / "S2"))  # type: ignore[operator]
        found = outcome(source, output=f"output{number}")
        assert found.status == "failed", said
        assert found.code.startswith(code), found
        assert said in found.message
        assert found.repair
        # names of files and folders stand in the detail only
        assert "exam0" not in found.message
        assert "exam0" in found.detail or "dyn" in found.detail
        assert not (tmp_path / f"output{number}" / "data_unilateral").exists()


def test_a_copy_of_a_file_counts_once_and_is_told(
    make_site: Callable[..., Path], outcome: Outcome, tmp_path: Path
) -> None:
    source = make_site()
    file = by_position(source / "exam0" / "S2")[7]
    shutil.copy(file, file.with_name("copy.dcm"))
    (source / "exam0" / "readme.txt").write_text("burnt by the archive")
    assert outcome(source).status == "prepared"
    manifest = Manifest.read(tmp_path / "output" / "manifests" / "C0.json")
    assert manifest is not None
    assert manifest.inputs["Post_1"].identical_copies_left_out == 1
    assert manifest.inputs["Pre"].identical_copies_left_out == 0
    assert manifest.other_files == 1


def test_the_same_image_twice_is_no_subtraction(make_site: Callable[..., Path], outcome: Outcome) -> None:
    source = make_site()
    shutil.rmtree(source / "exam0" / "S1")
    shutil.copytree(source / "exam0" / "S2", source / "exam0" / "S1")
    for file in (source / "exam0" / "S1").iterdir():
        change(file, SeriesDescription="t1 pre", SeriesInstanceUID="1.2.3.4")
    found = outcome(source)
    assert (found.code, found.message) == ("MS-X019", "Pre and Post_1 hold the same voxels")


def test_a_compressed_series_is_read(make_site: Callable[..., Path], outcome: Outcome) -> None:
    source = make_site()
    for file in (source / "exam0" / "S2").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        dataset.save_as(file)
    assert outcome(source).status == "prepared"


SYNTAXES = {"JPEG2000": "1.2.840.10008.1.2.4.90", "JPEG": "1.2.840.10008.1.2.4.70"}
"""JPEG 2000 without loss, and lossless JPEG of first order: what archives send most."""


def compress(file: Path, compressor: str) -> pydicom.FileDataset:
    """The file with its voxels compressed by the library that is used for reading."""
    import SimpleITK as sitk  # noqa: N813 - as everyone calls it

    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(file.parent.parent / "compressed.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.ReadImage(str(file), imageIO="GDCMImageIO"))
    compressed = pydicom.dcmread(file.parent.parent / "compressed.dcm")
    (file.parent.parent / "compressed.dcm").unlink()
    dataset = pydicom.dcmread(file)
    dataset.PixelData = compressed.PixelData
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
    dataset.save_as(file)
    return dataset


@pytest.mark.parametrize("compressor", SYNTAXES)
def test_what_archives_compress_gives_the_same_voxels(
    make_site: Callable[..., Path], outcome: Outcome, tmp_path: Path, compressor: str
) -> None:
    source = make_site()
    assert outcome(source).status == "prepared"
    for file in (source / "exam0" / "S2").iterdir():
        assert compress(file, compressor).file_meta.TransferSyntaxUID == SYNTAXES[compressor]
    assert outcome(source, output="compressed").status == "prepared"
    for side in ("left", "right"):
        name = f"data_unilateral/C0_{side}/Sub_1.nii.gz"
        assert (tmp_path / "compressed" / name).read_bytes() == (tmp_path / "output" / name).read_bytes()


@pytest.mark.parametrize("compressor", SYNTAXES)
def test_a_compressed_file_that_ends_early_is_damaged(
    make_site: Callable[..., Path], outcome: Outcome, compressor: str
) -> None:
    source = make_site()
    file = by_position(source / "exam0" / "S2")[7]
    dataset = compress(file, compressor)
    (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 4 * 2]])
    dataset.save_as(file)
    found = outcome(source)
    assert (found.code, found.message) == ("MS-X010", "the voxels of a file cannot be decoded")
    assert str(file) == found.detail


def test_a_compression_that_cannot_be_read_is_an_error(
    make_site: Callable[..., Path], outcome: Outcome
) -> None:
    source = make_site()
    file = by_position(source / "exam0" / "S2")[7]
    dataset = compress(file, "JPEG2000")
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    dataset.save_as(file)
    assert outcome(source).code == "MS-X010"


def write_rescaling(file: Path, element: int, text: bytes) -> None:
    """Write RescaleIntercept (element 0x1052) or RescaleSlope (0x1053) with any text of eight bytes."""
    name = {0x1052: "RescaleIntercept", 0x1053: "RescaleSlope"}[element]
    change(file, **{name: "1.234567"})
    head = struct.pack("<HH", 0x0028, element) + b"DS\x08\x00"
    content = file.read_bytes()
    assert content.count(head + b"1.234567") == 1
    file.write_bytes(content.replace(head + b"1.234567", head + text.ljust(8)))


@pytest.mark.parametrize(
    ("element", "text"),
    [(0x1053, text) for text in (b"2,5", b"NaN", b"inf", b"0", b"-0.0e1", b"1e-400", b"1e39", b"2\\3", b"")]
    + [(0x1052, text) for text in (b"1,5", b"NaN", b"x")],
)
def test_a_rescaling_that_would_be_misread_is_refused(
    make_site: Callable[..., Path], outcome: Outcome, element: int, text: bytes
) -> None:
    source = make_site()
    file = by_position(source / "exam0" / "S2")[7]
    write_rescaling(file, element, text)
    found = outcome(source)
    assert found.code == "MS-X010"
    assert {0x1052: "RescaleIntercept", 0x1053: "RescaleSlope"}[element] in found.message
    assert found.detail == str(file)


def test_a_rescaling_in_any_decimal_notation_is_used(
    make_site: Callable[..., Path], outcome: Outcome
) -> None:
    source = make_site()
    for file, slope in zip(
        by_position(source / "exam0" / "S2"), (b"2.5", b"+2.5", b" 25e-1", b".25E1"), strict=False
    ):
        write_rescaling(file, 0x1053, slope)
        write_rescaling(file, 0x1052, b"0")
    assert outcome(source).status == "prepared"
