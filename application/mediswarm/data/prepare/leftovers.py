"""What a site's folder still holds of cases that are no longer in its label table."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path

from mediswarm.data.prepare.labels import SIDES
from mediswarm.data.prepare.manifest import Manifest
from mediswarm.data.prepare.output import IMAGES, IMAGES_OF_BOTH, MANIFESTS, QC


def leftovers(root: Path, cases: AbstractSet[str]) -> dict[str, list[Path]]:
    """Files and folders of each case that is none of `cases`, by case.

    A folder of both breasts counts where something else of its case is there: without that, it may have
    been made by hand.
    """
    found: dict[str, list[Path]] = {}
    for entry in (*_entries(root / MANIFESTS), *_entries(root / IMAGES), *_entries(root / QC)):
        name = entry.name.removesuffix(".json" if entry.parent.name == MANIFESTS else ".png")
        case, _, side = name.rpartition("_")
        if entry.parent.name == MANIFESTS:
            case = name
        elif side not in SIDES or not case:
            continue
        if case not in cases:
            found.setdefault(case, []).append(entry)
    for case, entries in found.items():
        both = root / IMAGES_OF_BOTH / case
        if both.exists():
            entries.append(both)
    return found


def has_volumes_of_both(root: Path) -> bool:
    """Were volumes of both breasts prepared here before?"""
    manifests = (Manifest.read(file) for file in _entries(root / MANIFESTS))
    return any(manifest is not None and bool(manifest.both) for manifest in manifests)


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
