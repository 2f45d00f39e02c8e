"""The two packages that read DICOM, which not every site needs."""

from __future__ import annotations

from importlib.util import find_spec

from mediswarm.errors import HostError


def require_dicom_libraries() -> None:
    """Raises HostError MS-X001 when pydicom or SimpleITK is not installed."""
    missing = [name for name in ("pydicom", "SimpleITK") if find_spec(name) is None]
    if missing:
        raise HostError("MS-X001", f"reading DICOM needs {' and '.join(missing)}, not installed here")
