"""A synthetic data set in the ODELIA layout: lesion-like enhancement in noise.

For the demo and for tests. It resembles breast MRI only as far as the demo needs:
benign lesions are smooth and round, malignant ones irregular with a bright rim and
spikes, and vessels are in every volume, so that brightness alone decides nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

CLASSES = ("none", "benign", "malignant")
SHAPE = (32, 32, 16)
SPACING_MM = (2.0, 2.0, 4.0)

_Grid = npt.NDArray[np.float64]
_SHARE_WITH_TWO_BREASTS = 0.4
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SyntheticSite:
    """A site to be made; the triples are cases of none, benign, malignant.

    `noise` and `gain` stand for its scanner: the noise's standard deviation as a
    share of a benign lesion's enhancement, and the factor on all intensities.
    """

    name: str
    train: tuple[int, int, int]
    val: tuple[int, int, int]
    test: tuple[int, int, int]
    noise: float
    gain: float


DEMO_SITES = (
    SyntheticSite("site-1", (6, 30, 24), (12, 14, 14), (32, 32, 32), noise=0.30, gain=300.0),
    SyntheticSite("site-2", (64, 22, 10), (14, 10, 8), (36, 24, 20), noise=0.32, gain=120.0),
    SyntheticSite("site-3", (5, 6, 7), (6, 6, 6), (16, 16, 16), noise=0.34, gain=700.0),
)


def write_synthetic_odelia(folder: Path, seed: int = 0, sites: Sequence[SyntheticSite] = DEMO_SITES) -> None:
    """Write the sites below `folder`; the same seed gives the same voxels and tables.

    Raises:
        FileExistsError: a site's folder is there already.
    """
    for index, site in enumerate(sites):
        _write_site(folder / site.name, site, np.random.default_rng((seed, index)))


def write_synthetic_original(folder: Path, site: SyntheticSite, seed: int = 0) -> None:
    """Write a site of volumes with both breasts [64, 32, 16], the left one first along x.

    The triples of `site` count breasts here; two of them, drawn at random, are a patient.

    Raises:
        ValueError: the breasts of a split are odd in number.
        FileExistsError: the site's folder has images or tables of this layout already.
    """
    rng = np.random.default_rng(seed)
    images, metadata = folder / site.name / "data", folder / site.name / "metadata"
    metadata.mkdir(parents=True)
    annotation, splits = [], list[tuple[str, str, int]]()
    for split in _SPLITS:
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), getattr(site, split)))
        for left, right in labels.reshape(-1, 2).tolist():
            uid = f"{site.name}-{len(splits) + 1:04d}"
            volume = np.concatenate([synthesise_volume(label, site.noise, rng) for label in (left, right)])
            _write_volume(images / uid / "Sub_1.nii.gz", volume, site)
            annotation.append((uid, uid, int(rng.integers(30, 80)), left, right))
            splits.append((uid, split, 0))
    header = ("UID", "PatientID", "Age", "Lesion_Left", "Lesion_Right")
    _write_table(metadata / "annotation.csv", header, annotation)
    _write_table(metadata / "split.csv", ("UID", "Split", "Fold"), splits)


def synthesise_volume(label: int, noise: float, rng: np.random.Generator) -> _Grid:
    """One volume [32, 32, 16]; a benign lesion enhances by about 1 over a background about 0."""
    grid = np.stack(
        np.meshgrid(*(np.arange(size, dtype=np.float64) for size in SHAPE), indexing="ij"), axis=-1
    ) * np.array([1.0, 1.0, SPACING_MM[2] / SPACING_MM[0]])
    volume = 0.35 * _texture(rng)
    for _ in range(rng.integers(1, 4)):
        volume += rng.uniform(0.6, 1.3) * _vessel(grid, rng)
    if label:
        volume += _lesion(grid, rng, malignant=label == CLASSES.index("malignant"))
    return volume + noise * rng.standard_normal(SHAPE)


def _texture(rng: np.random.Generator) -> _Grid:
    smooth: _Grid = gaussian_filter(rng.standard_normal(SHAPE), sigma=(3, 3, 1.5))
    smooth /= smooth.std()
    return smooth


def _vessel(grid: _Grid, rng: np.random.Generator) -> _Grid:
    """A slightly bent bright line through the volume."""
    extent = grid.reshape(-1, 3).max(axis=0)
    start = rng.uniform(0.15, 0.85, 3) * extent
    direction = _unit(rng)
    offset = grid - start
    along = offset @ direction
    bend = _unit(rng) * rng.uniform(-0.01, 0.01)
    across = offset - along[..., None] * direction - (along**2)[..., None] * bend
    distance = np.linalg.norm(across, axis=-1)
    line: _Grid = np.exp(-0.5 * (distance / rng.uniform(0.8, 1.2)) ** 2)
    return line


def _lesion(grid: _Grid, rng: np.random.Generator, *, malignant: bool) -> _Grid:
    extent = grid.reshape(-1, 3).max(axis=0)
    offset = grid - rng.uniform(0.3, 0.7, 3) * extent
    distance = np.linalg.norm(offset, axis=-1)
    radius = rng.uniform(3.0, 5.0)
    if not malignant:
        inside: _Grid = 1.0 / (1.0 + np.exp((distance - radius) / 0.5))
        return rng.uniform(0.8, 1.3) * inside
    towards = offset / np.maximum(distance, 1e-6)[..., None]
    # three waves over the sphere of directions bend the outline
    outline = np.full(SHAPE, radius)
    for _ in range(3):
        angle = np.arccos(np.clip(towards @ _unit(rng), -1.0, 1.0))
        outline += 0.18 * radius * np.cos(rng.integers(2, 5) * angle)
    body = 1.0 / (1.0 + np.exp((distance - outline) / 0.5))
    rim = np.exp(-0.5 * ((distance - 0.8 * outline) / 0.8) ** 2)
    spikes = np.zeros(SHAPE)
    for way in [_unit(rng) for _ in range(rng.integers(4, 8))]:
        beside = offset - np.maximum(offset @ way, 0.0)[..., None] * way
        line = np.exp(-0.5 * (np.linalg.norm(beside, axis=-1) / 0.8) ** 2)
        spikes += line * (distance < 2.0 * radius)
    enhancement: _Grid = 0.5 * body + 0.7 * rim + 0.5 * np.clip(spikes, 0.0, 1.0) * (1.0 - body)
    return rng.uniform(0.8, 1.3) * enhancement


def _unit(rng: np.random.Generator) -> _Grid:
    way = rng.standard_normal(3)
    way /= np.linalg.norm(way)
    return way


def _write_site(folder: Path, site: SyntheticSite, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    annotation, splits, patients = [], [], 0
    for split in _SPLITS:
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), getattr(site, split))).tolist()
        while labels:
            patients += 1
            patient = f"{site.name}-{patients:04d}"
            age = int(rng.integers(30, 80))
            sides = rng.permutation(["left", "right"])
            breasts = 2 if rng.random() < _SHARE_WITH_TWO_BREASTS else 1
            for side in sides[: min(breasts, len(labels))]:
                label, uid = labels.pop(), f"{patient}_{side}"
                volume = synthesise_volume(label, site.noise, rng)
                _write_volume(folder / "data_unilateral" / uid / "Sub_1.nii.gz", volume, site)
                annotation.append((uid, patient, age, label))
                splits.append((uid, split, 0))
    metadata = folder / "metadata_unilateral"
    metadata.mkdir()
    _write_table(metadata / "annotation.csv", ("UID", "PatientID", "Age", "Lesion"), annotation)
    _write_table(metadata / "split.csv", ("UID", "Split", "Fold"), splits)


def _write_volume(file: Path, volume: _Grid, site: SyntheticSite) -> None:
    file.parent.mkdir(parents=True)
    voxels = np.round(site.gain * volume).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*SPACING_MM, 1.0])), file)


def _write_table(file: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
