"""AdrenalMNIST3D and the hippocampus MR crops as labelled cases, written as sites in the ODELIA layout."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt

POOLED = "pooled"
SITES = ("site-1", "site-2", "site-3")
SPLITS = ("train", "val", "test")
ADRENAL_CLASSES = ("normal", "hyperplasia")
HIPPOCAMPUS_CLASSES = ("small", "medium", "large")
EVEN = (1 / 3, 1 / 3, 1 / 3)

_OFFSET = {"train": 0, "val": 10_000, "test": 20_000}
"""Added to an adrenal case's index in its split, to give it an id of its own."""
_HIPPOCAMPUS_SHARES = (0.60, 0.75)
"""Hippocampi up to the first share are for training, up to the second for validation, others for test."""


@dataclass(frozen=True)
class Case:
    """One labelled volume, each its own patient: the data sets name none.

    `image` is a file, kept as it is, or voxels [x, y, z] without a geometry.
    """

    uid: str
    split: str
    label: int
    image: Path | npt.NDArray[np.uint8]


def adrenal_cases(npz: Path) -> list[Case]:
    """The cases of the official file (Yang et al., MedMNIST v2, 2023), in its splits and its order."""
    with np.load(npz) as file:
        return [
            Case(f"adrenal-{_OFFSET[split] + index:05d}", split, int(label), voxels)
            for split in SPLITS
            for index, (voxels, label) in enumerate(
                zip(file[f"{split}_images"], file[f"{split}_labels"].ravel(), strict=True)
            )
        ]


def hippocampus_cases(folder: Path) -> list[Case]:
    """MR crops of task 4 of the Medical Segmentation Decathlon (Antonelli et al., 2022), labelled by size.

    The class is the tercile of the hippocampus in mm³, counted in the label map, among those of the
    training cases. The cases are divided at random, always in the same way.
    """
    images = sorted((folder / "images").glob("*.nii.gz"))
    sizes = np.array([_labelled_mm3(folder / "labels" / image.name) for image in images])
    order = np.random.default_rng(0).permutation(len(images))
    parts = np.split(order, [round(share * len(images)) for share in _HIPPOCAMPUS_SHARES])
    terciles = np.quantile(sizes[parts[0]], (1 / 3, 2 / 3))
    return [
        Case(images[index].name.removesuffix(".nii.gz"), split, label, images[index])
        for split, part in zip(SPLITS, parts, strict=True)
        for index, label in zip(part, np.digitize(sizes[part], terciles).tolist(), strict=True)
    ]


def _labelled_mm3(file: Path) -> float:
    labels = nibabel.load(file)
    return float(np.count_nonzero(labels.dataobj) * np.abs(np.linalg.det(labels.affine[:3, :3])))


def write_pooled(folder: Path, cases: Sequence[Case]) -> Path:
    """Write all cases as the one site `<folder>/pooled`. Returns that site's folder."""
    everything = folder / POOLED
    for case in cases:
        file = _volume(everything, case)
        file.parent.mkdir(parents=True)
        if isinstance(case.image, Path):
            shutil.copyfile(case.image, file)
        else:
            nibabel.save(nibabel.Nifti1Image(case.image, np.eye(4)), file)
    _write_tables(everything, cases)
    return everything


def write_sites(
    folder: Path, cases: Sequence[Case], everything: Path, shares: Sequence[Sequence[float]]
) -> None:
    """Write the three sites `<folder>/<site>`, with links to the volumes of `everything`.

    Training and validation cases are divided by `shares`; every site holds all test cases, so
    that whatever is trained anywhere is judged on the same ones.

    Args:
        folder: where the sites are written.
        cases: all of them.
        everything: what :func:`write_pooled` gave for the same cases.
        shares: for each class, the share of its cases that each site receives.
    """
    test = [case for case in cases if case.split == "test"]
    divided = [divide([case for case in cases if case.split == split], shares) for split in SPLITS[:-1]]
    for number, name in enumerate(SITES):
        members = [*(case for parts in divided for case in parts[number]), *test]
        for case in members:
            link = _volume(folder / name, case)
            link.parent.mkdir(parents=True)
            link.hardlink_to(_volume(everything, case))
        _write_tables(folder / name, members)


def divide(cases: Sequence[Case], shares: Sequence[Sequence[float]]) -> list[list[Case]]:
    """The cases of each site, in their order; each class is shuffled once and cut by its shares."""
    rng = np.random.default_rng(0)
    labels = np.array([case.label for case in cases])
    parts: list[list[int]] = [[] for _ in SITES]
    for label, of_class in enumerate(shares):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.round(np.cumsum(of_class)[:-1] * len(shuffled)).astype(int)
        for part, chosen in zip(parts, np.split(shuffled, cuts), strict=True):
            part.extend(chosen.tolist())
    return [[cases[index] for index in sorted(part)] for part in parts]


def _volume(site: Path, case: Case) -> Path:
    return site / "data_unilateral" / case.uid / "Sub_1.nii.gz"


def _write_tables(site: Path, cases: Sequence[Case]) -> None:
    folder = site / "metadata_unilateral"
    folder.mkdir(parents=True)
    annotation: Iterable[tuple[object, ...]] = ((case.uid, case.uid, "", case.label) for case in cases)
    split: Iterable[tuple[object, ...]] = ((case.uid, case.split, 0) for case in cases)
    for file, header, lines in (
        ("annotation.csv", ("UID", "PatientID", "Age", "Lesion"), annotation),
        ("split.csv", ("UID", "Split", "Fold"), split),
    ):
        with (folder / file).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *lines])
