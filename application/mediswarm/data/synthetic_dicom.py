"""Synthetic DICOM examinations of the breasts: a phantom whose every value is known in millimetres.

For tests, and to try the preprocessing before there are data. Body and breasts are smooth
bodies of constant brightness; after contrast, a Gaussian blob brightens each breast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
_UID_ROOT = "1.2.826.0.1.3680043.8.498"
_BREAST_CENTRE_MM, _BREAST_RADIUS_MM = (80.0, -40.0, 0.0), 55.0
_BODY_RADII_MM = (170.0, 90.0)
_EDGE_MM = 2.0


@dataclass(frozen=True)
class Blob:
    """Enhancement of `height` with a Gaussian profile; `centre` in mm, LPS."""

    centre: tuple[float, float, float]
    sigma: float = 6.0
    height: float = 500.0


BLOBS = (Blob((85.0, -55.0, 6.0)), Blob((-70.0, -30.0, -12.0), sigma=8.0))
"""One for the left breast (x > 0 in LPS), one for the right."""


@dataclass(frozen=True)
class Scan:
    """How a phase is acquired.

    `turn` rotates the slices by so many degrees about the left-right, the anterior-posterior and
    the head-feet axis; `spacing` is between columns, between rows and between slices, mm.
    """

    size: tuple[int, int, int] = (90, 90, 26)
    spacing: tuple[float, float, float] = (4.0, 4.0, 4.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def direction(self) -> _Floats:
        """Unit vectors of columns, rows and slices as the columns of a 3 × 3 matrix, LPS."""
        product = np.eye(3)
        for axis, angle in enumerate(np.radians(self.turn)):
            turned = np.eye(3)
            one, other = [index for index in range(3) if index != axis]
            turned[one, one] = turned[other, other] = np.cos(angle)
            turned[one, other], turned[other, one] = -np.sin(angle), np.sin(angle)
            product = turned @ product
        return product

    def positions(self) -> _Floats:
        """Centre of every voxel [slice, row, column, xyz], mm, LPS."""
        steps = [np.arange(count) - (count - 1) / 2 for count in self.size]
        z, y, x = np.meshgrid(*reversed(steps), indexing="ij")
        offsets = np.stack([x, y, z], axis=-1) * self.spacing
        positions: _Floats = offsets @ self.direction.T + self.centre
        return positions


def phantom(positions: _Floats, blobs: Sequence[Blob]) -> _Floats:
    """Brightness at positions [..., xyz] in mm, LPS: body and breasts 300, air 0, blobs on top."""
    x, y, z = np.moveaxis(positions, -1, 0)
    wide, deep = _BODY_RADII_MM
    # the chest's front is at y = 0, the breasts hang in front of it (towards negative y)
    distances = [(np.sqrt((x / wide) ** 2 + ((y - deep) / deep) ** 2) - 1) * deep]
    for side in (1, -1):
        centre = np.array(_BREAST_CENTRE_MM) * [side, 1, 1]
        distances.append(np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + z**2) - _BREAST_RADIUS_MM)
    nearest = np.min(distances, axis=0)
    brightness = 300.0 / (1.0 + np.exp(np.clip(nearest / _EDGE_MM, -50, 50)))
    return np.asarray(brightness + enhancement(positions, blobs))


def enhancement(positions: _Floats, blobs: Sequence[Blob]) -> _Floats:
    """What the blobs add at positions [..., xyz] in mm, LPS."""
    added = np.zeros(positions.shape[:-1])
    for blob in blobs:
        squared = ((positions - blob.centre) ** 2).sum(axis=-1)
        added += blob.height * np.exp(-0.5 * squared / blob.sigma**2)
    return added


def write_series(
    folder: Path,
    scan: Scan,
    blobs: Sequence[Blob] = (),
    *,
    description: str,
    number: int,
    patient: str = "DOE^JANE",
    patient_id: str = "MRN-4711",
    temporal_position: int | None = None,
    series: str | None = None,
) -> list[Path]:
    """Write one file for each slice; gives them in order from the first slice to the last.

    The files are named by instance UID, and by nothing that tells their order.
    """
    voxels = np.round(phantom(scan.positions(), blobs)).astype(np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    series = series or f"{_UID_ROOT}.{number}"
    files = []
    for index, plane in enumerate(voxels):
        instance = f"{_UID_ROOT}.{number}.{(index * 7919) % 10007}.{index}"
        files.append(folder / instance)
        tags = {
            "PatientName": patient,
            "PatientID": patient_id,
            "PatientBirthDate": "19610203",
            "StudyDate": "20240517",
            "InstitutionName": "Sanatorium Berghof",
            "AccessionNumber": "ACC90210",
            "StudyInstanceUID": f"{_UID_ROOT}.77",
            "FrameOfReferenceUID": f"{_UID_ROOT}.88",
            "SeriesInstanceUID": series,
            "SeriesDescription": description,
            "SeriesNumber": str(number),
            "AcquisitionDate": "20240517",
            "AcquisitionTime": f"1015{number % 60:02d}",
            "InstanceNumber": str(index + 1),
            "SliceThickness": str(scan.spacing[2]),
        }
        if temporal_position is not None:
            tags["TemporalPositionIdentifier"] = str(temporal_position)
        _write_slice(files[-1], instance, plane, scan, index, tags)
    return files


def write_examination(folder: Path, scan: Scan | None = None) -> None:
    """Write an examination with the series Pre and Post_1, and a series that is neither."""
    scan = scan or Scan()
    for number, description, blobs in ((1, "t1 dyn pre", ()), (2, "t1 dyn post 1", BLOBS)):
        write_series(folder / f"S{number}", scan, blobs, description=description, number=number)
    write_series(folder / "S3", Scan(size=(12, 12, 5), spacing=(20, 20, 8)), description="t2 stir", number=3)


def _write_slice(
    file: Path, instance: str, plane: npt.NDArray[np.uint16], scan: Scan, index: int, tags: dict[str, str]
) -> None:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(MR_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(file, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, UID(instance)
    dataset.Modality = "MR"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    for name, value in tags.items():
        setattr(dataset, name, value)
    corner = (np.array([0, 0, index]) - (np.array(scan.size) - 1) / 2) * scan.spacing
    position = scan.direction @ corner + scan.centre
    dataset.ImagePositionPatient = [f"{value:.8g}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.8g}" for value in scan.direction[:, :2].T.ravel()]
    dataset.PixelSpacing = [f"{scan.spacing[1]:g}", f"{scan.spacing[0]:g}"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = plane.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = plane.tobytes()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
