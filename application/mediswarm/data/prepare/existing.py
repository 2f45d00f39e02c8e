"""A site's folder that is in the ODELIA layout already: checked, and tagged, not changed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mediswarm import __version__
from mediswarm.data.prepare.breasts import Grid
from mediswarm.data.prepare.case import CaseOutcome, intensities
from mediswarm.data.prepare.labels import SIDES
from mediswarm.data.prepare.manifest import Manifest, PreparedBreast
from mediswarm.data.prepare.output import (
    CHANNEL,
    IMAGES,
    image_file,
    manifest_file,
    picture_file,
    write_whole_file,
)
from mediswarm.data.prepare.picture import breast_picture, planes_of
from mediswarm.data.volumes import Volume, read_geometry, read_volume
from mediswarm.errors import DataError
from mediswarm.spec.digest import sha256_of_file

_SPACING_TOLERANCE = 0.01


@dataclass(frozen=True)
class TagTask:
    """The breasts of one case that lie in the layout already, by UID."""

    case: str
    uids: tuple[str, ...]
    root: Path
    grid: Grid


def is_prepared_layout(folder: Path) -> bool:
    """Is this a site's folder of prepared volumes, rather than one of examinations?"""
    return (folder / IMAGES).is_dir()


def tag_tasks(root: Path, grid: Grid) -> list[TagTask]:
    """The cases of a site's folder; the breasts of a case are those that differ in their side only."""
    uids: dict[str, list[str]] = defaultdict(list)
    for folder in sorted(entry for entry in (root / IMAGES).iterdir() if entry.is_dir()):
        case, _, side = folder.name.rpartition("_")
        uids[case if side in SIDES and case else folder.name].append(folder.name)
    return [TagTask(case, tuple(names), root, grid) for case, names in uids.items()]


def tag_case(task: TagTask) -> CaseOutcome:
    """Check the volumes of a case and write its manifest; the volumes stay as they are.

    One that `prepare` made itself keeps its manifest as long as its files are unchanged.
    """
    former = Manifest.read(manifest_file(task.root, task.case))
    if former is not None and set(former.breasts) == set(task.uids) and former.stands(task.root):
        return CaseOutcome(task.case, "kept")
    manifest_file(task.root, task.case).unlink(missing_ok=True)
    try:
        tag, breasts = "", {}
        for uid in task.uids:
            tag, breasts[uid] = _tagged(task, uid)
    except DataError as error:
        return CaseOutcome.of(task.case, error)
    Manifest(
        case=task.case,
        preprocessing=tag,
        mediswarm=__version__,
        parameters={"grid": task.grid.model_dump(mode="json")},
        inputs={},
        other_files=0,
        breasts=breasts,
    ).write(task.root)
    return CaseOutcome(task.case, "prepared")


def _tagged(task: TagTask, uid: str) -> tuple[str, PreparedBreast]:
    file, grid = image_file(task.root, uid), task.grid
    geometry = read_geometry(file)
    for what, same, found, wanted in (
        ("size", geometry.shape == grid.size, geometry.shape, grid.size),
        (
            "spacing",
            all(
                abs(have - want) <= _SPACING_TOLERANCE * want
                for have, want in zip(geometry.spacing, grid.spacing_mm, strict=True)
            ),
            geometry.spacing,
            grid.spacing_mm,
        ),
    ):
        if not same:
            have, want = (" x ".join(f"{value:g}" for value in values) for values in (found, wanted))
            raise DataError("MS-X023", f"the {what} is {have}, and {want} is prepared", file=file)
    volume: Volume = read_volume(file)
    picture = breast_picture(planes_of(volume))
    write_whole_file(picture_file(task.root, uid), picture)
    files = {
        file.relative_to(task.root).as_posix(): sha256_of_file(file),
        picture_file(task.root, uid).relative_to(task.root).as_posix(): hashlib.sha256(picture).hexdigest(),
    }
    spacing, size = ("x".join(f"{value:g}" for value in values) for values in (grid.spacing_mm, grid.size))
    tag = f"odelia-layout/{CHANNEL}/{geometry.orientation}/{spacing}mm/{size}"
    return tag, PreparedBreast(files=files, covered=1.0, **intensities(volume))
