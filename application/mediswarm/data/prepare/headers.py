"""What is read of the headers of an examination's DICOM files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mediswarm.data.prepare.case_error import CaseError
from mediswarm.data.prepare.rules import SplitTag

_MARK_AT, _MARK = 128, b"DICM"
_DICOM_SUFFIXES = ("", ".dcm", ".ima", ".dicom", ".img")
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_IDENTITIES = ("PatientID", "PatientName", "AccessionNumber", "StudyID", "OtherPatientIDs")
_TAGS = [
    *(
        "SOPClassUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "SeriesDescription",
        "ImageType",
        "Modality",
    ),
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelSpacing"),
    *("ImageOrientationPatient", "ImagePositionPatient"),
    *("AcquisitionDateTime", "AcquisitionDate", "PatientIdentityRemoved"),
    *get_args(SplitTag),
    *_IDENTITIES,
]


@dataclass(frozen=True)
class Header:
    """One file. All but the geometry is used for choosing only, and written nowhere."""

    file: Path
    series: str
    frame_of_reference: str
    description: str
    image_type: tuple[str, ...]
    modality: str
    shape: tuple[int, int] | None
    """Rows and columns; None for what is no image."""
    samples: int
    frames: int
    pixel_spacing: tuple[float, ...]
    """mm between rows, mm between columns."""
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    split_values: tuple[tuple[str, str], ...]
    acquired: str
    """Date and time, sortable as text; empty when not known."""
    identities: frozenset[str]
    """What could name the patient; empty when the file says that identities were removed."""

    @property
    def temporal_position(self) -> str:
        return dict(self.split_values).get("TemporalPositionIdentifier", "")


def read_headers(folder: Path) -> tuple[list[Header], int]:
    """Headers of all DICOM files below a folder, in the order of their paths; and how many are not DICOM.

    Raises:
        CaseError: MS-X008 there is none, MS-X010 a file is damaged.
    """
    headers, others = [], 0
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        header = _read(file)
        if header is None:
            others += 1
        else:
            headers.append(header)
    if not headers:
        raise CaseError("MS-X008", "its folder holds no DICOM file", detail=folder)
    return headers, others


def _read(file: Path) -> Header | None:
    import pydicom

    # a scanner's breach of the standard in a tag that is not used is no reason for a warning
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with file.open("rb") as stream:
            marked = stream.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS)) if marked else None
        if header is not None:
            meant = header.get("SOPClassUID", header.file_meta.get("MediaStorageSOPClassUID"))
            return None if meant == _DIRECTORY_CLASS else _header(file, header)
    except OSError as error:
        raise CaseError("MS-X010", f"a file cannot be read ({error.strerror})", detail=file) from error
    except Exception as error:  # pydicom meets a damaged file with errors of any kind
        raise CaseError("MS-X010", "the header of a file is damaged", detail=file) from error
    if file.name.startswith(".") or not _named_like_dicom(file):
        return None
    raise CaseError("MS-X010", "a file lacks the mark of DICOM at its beginning", detail=file)


def _named_like_dicom(file: Path) -> bool:
    # exports often name files by UID: 1.2.840.1 has the suffix .1
    return file.suffix.lower() in _DICOM_SUFFIXES or re.fullmatch(r"\.\d+", file.suffix) is not None


def _header(file: Path, header: Any) -> Header:
    rows, columns = header.get("Rows"), header.get("Columns")
    removed = str(header.get("PatientIdentityRemoved", "")).upper() == "YES"
    date, time = (str(header.get(tag) or "") for tag in ("AcquisitionDate", "AcquisitionTime"))
    return Header(
        file=file,
        series=str(header.get("SeriesInstanceUID", "")),
        frame_of_reference=str(header.get("FrameOfReferenceUID", "")),
        description=str(header.get("SeriesDescription", "")),
        image_type=tuple(_values(header, "ImageType")),
        modality=str(header.get("Modality", "")),
        shape=(int(rows), int(columns)) if rows and columns else None,
        samples=int(header.get("SamplesPerPixel", 1)),
        frames=int(header.get("NumberOfFrames") or 1),
        pixel_spacing=tuple(map(float, _values(header, "PixelSpacing"))),
        orientation=tuple(map(float, _values(header, "ImageOrientationPatient"))),
        position=tuple(map(float, _values(header, "ImagePositionPatient"))),
        split_values=tuple(
            (tag, str(header.get(tag))) for tag in get_args(SplitTag) if header.get(tag) is not None
        ),
        acquired=str(header.get("AcquisitionDateTime") or "") or (date + time if time else ""),
        identities=frozenset() if removed else frozenset(_identities(header)),
    )


def _values(header: Any, tag: str) -> list[Any]:
    value = header.get(tag)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)


def _identities(header: Any) -> Iterator[str]:
    for tag in _IDENTITIES:
        for value in _values(header, tag) if tag != "PatientName" else [header.get(tag, "")]:
            if str(value).strip():
                yield str(value).strip().casefold()
