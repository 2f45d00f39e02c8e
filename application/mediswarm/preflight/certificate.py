"""The startup kit: complete, unchanged, and its certificate valid for long enough."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from mediswarm.data.findings import Finding
from mediswarm.errors import KitError, MediSwarmError
from mediswarm.spec.certificate import check_validity, load_certificates, when
from mediswarm.spec.kit import Kit, verify_kit

_SOON = timedelta(days=60)


def check_kit(folder: Path) -> tuple[Kit | None, list[Finding]]:
    """Verify a kit's files, certificate and key, and compare its dates with the clock (R22, R24).

    Returns:
        the kit, or None when it cannot be used at all; and what was found.
    """
    try:
        kit = verify_kit(folder)
        certificates = load_certificates(folder, kit.role)
    except MediSwarmError as error:
        return None, [Finding.of(error, "startup kit")]
    whole = Finding.passed(
        "startup kit",
        f"{kit.role} {kit.name} of {kit.federation}, generation {kit.generation}; "
        f"{len(kit.files)} files unchanged",
    )
    try:
        check_validity(certificates)
    except MediSwarmError as error:
        return kit, [whole, Finding.of(error, "certificate")]
    ends = certificates.own.not_valid_after_utc
    left = ends - datetime.now(timezone.utc)
    said = f"valid until {when(ends)}, {left.days} more days"
    if left > _SOON:
        return kit, [whole, Finding.passed("certificate", said)]
    soon = KitError("MS-K025", said, file=certificates.own_file)
    return kit, [whole, Finding("WARN", "certificate", soon.message, soon.code, soon.repair, soon.file)]
