"""What is read of the headers of an examination's DICOM files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mediswarm.data.prepare.case_error import CaseError
from mediswarm.data.prepare.identities import IDENTITY_TAGS, Identity, identities
from mediswarm.data.prepare.input_files import files_below, unreadable
from mediswarm.data.prepare.rules import SplitTag

_MARK_AT, _MARK = 128, b"DICM"
_DICOM_SUFFIXES = ("", ".dcm", ".ima", ".dicom", ".img")
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
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
    *IDENTITY_TAGS,
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
    identities: frozenset[Identity]
    """What could name the patient; empty when the file says that identities were removed."""

    @property
    def temporal_position(self) -> str:
        return dict(self.split_values).get("TemporalPositionIdentifier", "")


def read_headers(folder: Path) -> tuple[list[Header], int]:
    """Headers of all DICOM files below a folder, in the order of their paths; and how many are not DICOM.

    Raises:
        CaseError: MS-X008 there is none, MS-X010 a file is damaged or cannot be read.
    """
    headers, others = [], 0
    for file in files_below(folder):
        header = _read(file)
        if header is None:
            others += 1
        else:
            headers.append(header)
    if not headers:
        raise CaseError("MS-X008", "its folder holds no DICOM file", detail=folder)
    return headers, others


def is_dicom(file: Path) -> bool:
    """Is this, or was it before it was damaged, a DICOM file other than a directory (DICOMDIR)?"""
    try:
        return _marked(file) and _read(file) is not None
    except CaseError:
        return True
    except OSError:
        return _named_like_dicom(file)


def _marked(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK


def _read(file: Path) -> Header | None:
    import pydicom

    # a scanner's breach of the standard in a tag that is not used is no reason for a warning
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        if _marked(file):
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            meant = header.get("SOPClassUID", header.file_meta.get("MediaStorageSOPClassUID"))
            if meant == _DIRECTORY_CLASS:
                return None
            _require_whole(header, meant)
            return _header(file, header)
    except OSError as error:
        raise unreadable(error, file) from error
    except Exception as error:  # pydicom meets a damaged file with errors of any kind
        raise CaseError("MS-X010", "the header of a file is damaged", detail=file) from error
    if file.name.startswith(".") or not _named_like_dicom(file):
        return None
    raise CaseError("MS-X010", "a file lacks the mark of DICOM at its beginning", detail=file)


def _require_whole(header: Any, meant: Any) -> None:
    """A header that is cut off between two tags is, to pydicom, one that ends there."""
    if not meant:
        raise ValueError("it does not say what it is")
    if meant.name.endswith("Image Storage") and not (header.get("Rows") and header.get("Columns")):
        raise ValueError("an image without a size")


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
        identities=frozenset() if removed else frozenset(identities(header)),
    )


def _values(header: Any, tag: str) -> list[Any]:
    value = header.get(tag)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)
