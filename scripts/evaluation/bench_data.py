"""What a case of breast MRI costs before the network sees it, against reading it anew in every epoch.

Makes synthetic volumes of 256 x 256 x 32 voxels in .nii.gz files, and runs over them

- as a site does: the pipeline `odelia` with its cache in an empty scratch directory, its
  batches and its augmentation to 224 x 224 x 32, on the CPU;
- as a reference: MONAI's transforms on each file in each epoch (load, canonical orientation,
  clip at percentiles, normalise; for training crop at random, one of affine and flips, noise).

A case of training and one of validation are timed apart, at batch size 1. Without workers
everything runs on one core and one thread, and seconds are those the core spent on it, so that
other work on the machine does not count. With workers, each of one thread, seconds are those that
went by. `ratio` is the reference's seconds divided by the pipeline's in later epochs. Files lie in
the page cache both times. Peak memory is that of the largest process, with torch and MONAI loaded
and mapped files counted.

    python scripts/evaluation/bench_data.py
    python scripts/evaluation/bench_data.py --cases 48 --epochs 5 --json
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.utils.data import DataLoader, Dataset

from mediswarm.pipelines import Site
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig
from mediswarm.training.batches import EvenBatches, read_by_workers

SHAPE, CROP, SPACING_MM = (256, 256, 32), (224, 224, 32), (0.7, 0.7, 3.0)
SITE = "site-1"
_FEWEST = 2


def write_site(folder: Path, cases: int) -> None:
    """`cases` volumes for training and as many for validation: smooth structures in noise, float32."""
    rng = np.random.default_rng(0)
    annotation, split = ["UID,PatientID,Age,Lesion"], ["UID,Split,Fold"]
    for number in range(2 * cases):
        uid = f"{number:04d}_left"
        voxels = 200 * gaussian_filter(rng.standard_normal(SHAPE, np.float32), (6, 6, 2)) / 0.02
        voxels = (voxels + rng.normal(0, 40, SHAPE)).astype(np.float32)
        file = folder / SITE / "data_unilateral" / uid / "Sub_1.nii.gz"
        file.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*SPACING_MM, 1.0])), file)
        annotation.append(f"{uid},{number:04d},50,{number % 3}")
        split.append(f"{uid},{'train' if number < cases else 'val'},0")
    metadata = folder / SITE / "metadata_unilateral"
    metadata.mkdir()
    (metadata / "annotation.csv").write_text("\n".join(annotation) + "\n")
    (metadata / "split.csv").write_text("\n".join(split) + "\n")


class Transformed(Dataset[Any]):
    """The reference: each file through all transforms, each time."""

    def __init__(self, files: list[Path], *, train: bool) -> None:
        from monai import transforms  # slow to import, and only needed here

        steps: list[Callable[[Any], Any]] = [
            transforms.LoadImage(image_only=True, ensure_channel_first=True),
            transforms.Orientation("RAS", labels=None),
            transforms.ClipIntensityPercentiles(0.5, 99.5),
            transforms.NormalizeIntensity(),
        ]
        if train:
            flips = transforms.Compose([transforms.RandFlip(0.5, axis) for axis in range(3)])
            turn = transforms.RandAffine(1.0, (0.0, 0.0, math.pi / 2), padding_mode="border")
            steps += [
                transforms.RandSpatialCrop(CROP, random_size=False),
                transforms.OneOf([turn, flips]),
                transforms.RandGaussianNoise(1.0, std=0.25, sample_std=True),
            ]
        else:
            steps.append(transforms.CenterSpatialCrop(CROP))
        self.files, self.apply = files, transforms.Compose([*steps, transforms.ToTensor(track_meta=False)])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.apply(self.files[index]), 0


def epochs_of_pipeline(
    data_dir: Path, scratch: Path, split: str, epochs: int, workers: int
) -> dict[str, float]:
    """Seconds per case in the first epoch and the mean of the later ones, with the peak memory (MiB)."""
    pipeline = Odelia(OdeliaConfig.model_validate({"input_size": CROP}))
    data = pipeline.data(Site(SITE, data_dir, scratch))
    cases = data.train if split == "train" else data.validation
    generator = torch.Generator().manual_seed(0)

    def batches() -> Iterable[Any]:
        sampler = EvenBatches(len(cases), 1, len(cases), generator)
        for inputs, targets in read_by_workers(cases.dataset, sampler, workers, pin_memory=False):
            yield pipeline.augment(inputs, targets, generator) if split == "train" else (inputs, targets)

    return _timed(batches, len(cases), epochs, workers)


def epochs_of_reference(data_dir: Path, _: Path, split: str, epochs: int, workers: int) -> dict[str, float]:
    """As :func:`epochs_of_pipeline`."""
    files = sorted((data_dir / SITE / "data_unilateral").glob("*/Sub_1.nii.gz"))
    half = len(files) // 2
    dataset = Transformed(files[:half] if split == "train" else files[half:], train=split == "train")
    return _timed(
        lambda: DataLoader(dataset, shuffle=split == "train", num_workers=workers), half, epochs, workers
    )


def _timed(batches: Callable[[], Iterable[Any]], cases: int, epochs: int, workers: int) -> dict[str, float]:
    torch.set_num_threads(1)
    cores = os.sched_getaffinity(0)
    if not workers:
        os.sched_setaffinity(0, {max(cores)})
    clock = time.perf_counter if workers else time.process_time
    seconds = []
    for _ in range(epochs):
        start = clock()
        for inputs, _targets in batches():
            if inputs.shape != (1, 1, *CROP):
                raise SystemExit(f"a batch has the shape {tuple(inputs.shape)}")
        seconds.append((clock() - start) / cases)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    later = seconds[1:] or seconds
    return {"first_s": seconds[0], "later_s": sum(later) / len(later), "peak_mib": peak / 1024}


def alone(function: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """Call in a new process, so that memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(data_dir: Path, scratch: Path, epochs: int, most_workers: int) -> dict[str, Any]:
    """All measurements: without workers on one core, then with one and more workers."""
    rows: list[dict[str, Any]] = []
    for workers in range(most_workers + 1):
        for split in ("train", "val"):
            place = scratch / f"{workers}-{split}"
            ours = alone(epochs_of_pipeline, data_dir, place, split, epochs, workers)
            reference = alone(epochs_of_reference, data_dir, place, split, max(1, epochs // 2), workers)
            rows.append({"workers": workers, "split": split, "pipeline": ours, "reference": reference})
    train, val = rows[0], rows[1]
    return {
        "ratio_train": train["reference"]["later_s"] / train["pipeline"]["later_s"],
        "ratio_val": val["reference"]["later_s"] / val["pipeline"]["later_s"],
        "train_first_s": train["pipeline"]["first_s"],
        "train_later_s": train["pipeline"]["later_s"],
        "val_first_s": val["pipeline"]["first_s"],
        "val_later_s": val["pipeline"]["later_s"],
        "train_reference_s": train["reference"]["later_s"],
        "val_reference_s": val["reference"]["later_s"],
        "runs": rows,
    }


def table(found: dict[str, Any]) -> str:
    """The measurements for people: milliseconds per case, and cases per second."""
    lines = [
        "workers  split   reference        first epoch      later epochs     ratio   peak MiB (reference)"
    ]
    for row in found["runs"]:
        ours, reference = row["pipeline"], row["reference"]
        times = "".join(
            f"{1000 * seconds:6.1f} ms {1 / seconds:5.1f}/s "
            for seconds in (reference["later_s"], ours["first_s"], ours["later_s"])
        )
        ratio = reference["later_s"] / ours["later_s"]
        memory = f"{ours['peak_mib']:.0f} ({reference['peak_mib']:.0f})"
        lines.append(f"{row['workers']:>7}  {row['split']:<5} {times} {ratio:5.1f}   {memory}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=24, help="volumes of each split (default: 24)")
    parser.add_argument(
        "--epochs", type=int, default=4, help="epochs of the pipeline, at least 2 (default: 4)"
    )
    parser.add_argument("--workers", type=int, default=2, help="up to so many workers (default: 2)")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    if min(arguments.epochs, arguments.cases) < _FEWEST:
        parser.error(f"at least {_FEWEST} epochs and {_FEWEST} cases are needed")
    with tempfile.TemporaryDirectory() as folder:
        write_site(Path(folder) / "data", arguments.cases)
        found = measure(Path(folder) / "data", Path(folder) / "scratch", arguments.epochs, arguments.workers)
    print(json.dumps(found, indent=2) if arguments.json else table(found))


if __name__ == "__main__":
    main()
