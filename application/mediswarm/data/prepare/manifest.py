"""What is known of a prepared case: what it was made of, how, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from typing_extensions import Self

from mediswarm.data.findings import Finding
from mediswarm.data.prepare.output import MANIFESTS, manifest_file, write_whole_file
from mediswarm.error_codes import ERROR_CODES
from mediswarm.spec.digest import sha256_of_file
from mediswarm.spec.strict import Strict


class Acquired(Strict):
    """The measured geometry of one phase."""

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    oblique_degrees: float
    """Largest angle between an axis of the acquisition and the nearest axis of the patient."""
    slices_sha256: tuple[str, ...]
    identical_copies_left_out: int


class PreparedBreast(Strict):
    """One breast that was written."""

    files: dict[str, str]
    """SHA-256 of each file, by its path in the output."""
    covered: float
    percentile_99_5: float
    mean: float
    deviation: float


class Manifest(Strict):
    """The manifest of a case; nothing of a DICOM header but geometry stands in it."""

    case: str
    preprocessing: str
    mediswarm: str
    parameters: dict[str, Any]
    inputs: dict[str, Acquired]
    other_files: int
    """Files of the examination that are not DICOM."""
    breasts: dict[str, PreparedBreast]
    both: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the file that holds both breasts, by its path, where it was asked for."""

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The manifest of a file; None when there is none that can be read."""
        try:
            return cls.model_validate(json.loads(file.read_bytes()))
        except (OSError, ValueError, ValidationError):
            return None

    def write(self, root: Path) -> None:
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1) + "\n"
        write_whole_file(manifest_file(root, self.case), text.encode())

    def stands(self, root: Path) -> bool:
        """Are all files of the case there, as they were written?"""
        files = [breast.files for breast in self.breasts.values()] + [self.both]
        return all(
            (root / file).is_file() and sha256_of_file(root / file) == digest
            for digests in files
            for file, digest in digests.items()
        )


def preprocessing_tags(root: Path) -> dict[str, str]:
    """The preprocessing tag of each volume that has one, by UID; empty for a site without manifests."""
    tags: dict[str, str] = {}
    for manifest in _all_of(root):
        tags |= dict.fromkeys(manifest.breasts, manifest.preprocessing)
        tags |= {manifest.case: manifest.preprocessing} if manifest.both else {}
    return tags


def check_unchanged(root: Path, used: Mapping[str, Sequence[Path]]) -> list[Finding]:
    """FAIL when files of a site, given by UID, are not those that its manifests speak of; reads them all.

    What cannot be read is left to the checks of volumes.
    """
    made: dict[str, str] = {}
    for manifest in _all_of(root):
        made |= manifest.both
        for breast in manifest.breasts.values():
            made |= breast.files
    changed = [(uid, file) for uid, files in used.items() for file in files if _is_other(file, made, root)]
    if not changed:
        return []
    return [
        Finding(
            "FAIL",
            "preprocessing",
            f"volumes that were replaced or changed after their preparation: {len(changed)}",
            "MS-X027",
            ERROR_CODES["MS-X027"].resolve,
            str(changed[0][1]),
            tuple(uid for uid, _ in changed),
        )
    ]


def check_preprocessing(root: Path, uids: Iterable[str]) -> list[Finding]:
    """FAIL when the cases of a site carry more than one preprocessing tag, or only some of them one."""
    tags = preprocessing_tags(root)
    of = {uid: tags.get(uid, "none") for uid in uids}
    kinds = sorted(set(of.values()))
    if len(kinds) <= 1:
        return [Finding.passed("preprocessing", kinds[0])] if tags.keys() & of.keys() else []
    counts = ", ".join(f"{list(of.values()).count(kind)} {kind}" for kind in kinds)
    return [
        Finding(
            "FAIL",
            "preprocessing",
            f"volumes of different preprocessing are mixed: {counts}",
            "MS-X025",
            ERROR_CODES["MS-X025"].resolve,
            str(root / MANIFESTS),
        )
    ]


def _all_of(root: Path) -> Iterator[Manifest]:
    for file in sorted((root / MANIFESTS).glob("*.json")):
        manifest = Manifest.read(file)
        if manifest is not None:
            yield manifest


def _is_other(file: Path, made: Mapping[str, str], root: Path) -> bool:
    digest = made.get(file.relative_to(root).as_posix())
    try:
        return digest is not None and sha256_of_file(file) != digest
    except OSError:
        return False
