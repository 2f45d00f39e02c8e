"""The ODELIA pipeline: three-class classification of breasts in MRI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from mediswarm.data.findings import Finding, raise_on_failure
from mediswarm.data.prepare.manifest import check_preprocessing, check_unchanged, preprocessing_tags
from mediswarm.data.split_checks import check_splits
from mediswarm.data.splits import SPLITS, LabelledCase, SplitTables
from mediswarm.data.volume_cache import VolumeCache
from mediswarm.data.volume_checks import VolumeSurvey
from mediswarm.data.volume_dataset import VolumeDataset
from mediswarm.data.volumes import PREPROCESSING
from mediswarm.errors import DataError, JobError
from mediswarm.models.heads import Head
from mediswarm.models.norms import batch_norms, to_group_norm
from mediswarm.pipelines.base import Cases, Site, SiteData
from mediswarm.pipelines.classification import ClassificationPipeline
from mediswarm.pipelines.counts import Counts
from mediswarm.pipelines.odelia.augment import augment_volumes
from mediswarm.pipelines.odelia.config import OdeliaConfig
from mediswarm.pipelines.odelia.site_files import LAYOUTS, image_files, imaged_cases


class Odelia(ClassificationPipeline[OdeliaConfig]):
    """Volumes of breasts, labelled by the most suspicious lesion of each.

    With laterality `unilateral`, a case is one breast. With `original` it is both: targets are
    [n, 2], left before right, and the model gives twice as many numbers. Loss and counts are then
    of 2n breasts, so that weights, metrics and support mean the same in both.
    """

    Config = OdeliaConfig
    needs_data = True

    def __init__(self, config: OdeliaConfig, folder: Path | None = None) -> None:
        """Raises JobError MS-J014 when `batch_norm` is not `federate` and the network has none."""
        super().__init__(config, folder)
        self.layout = LAYOUTS[config.laterality]
        self.parts = self.layout.sides
        if config.batch_norm != "federate":
            names = self._batch_norm_names()
            if config.batch_norm == "local":
                self.local_parameters = tuple(f"{name}.*" for name in names)

    @property
    @override
    def classes(self) -> tuple[str, ...]:
        return self.config.classes

    @property
    @override
    def head(self) -> Head:
        return self.config.head

    @property
    @override
    def outputs(self) -> int:
        return super().outputs * len(self.layout.labels)

    @override
    def contract(self) -> dict[str, Any]:
        return super().contract() | {
            "laterality": self.config.laterality,
            "channels": list(self.config.channels),
            "input_shape": [len(self.config.channels), *self.config.input_size],
            "preprocessing": PREPROCESSING,
        }

    @override
    def data(self, site: Site) -> SiteData:
        """Tables and headers are read and checked now, voxels when a case is asked for.

        Raises:
            DataError: MS-D002, MS-D003, MS-D101 to MS-D127, MS-X025: the first rule that is broken.
        """
        tables, images = self._listed(site)
        raise_on_failure(check_splits(tables, images.keys(), self.classes))
        cases = tables.cases()
        raise_on_failure(self._support(cases, tables.split_file))
        used = {case.uid: images[case.uid] for split in SPLITS for case in cases[split]}
        survey = VolumeSurvey.of(used, voxels=False)
        raise_on_failure([*survey.findings(), *check_preprocessing(site.folder, used)])
        measured = survey.measured()
        if tag := preprocessing_tags(site.folder).get(next(iter(used))):
            measured["prepared"] = tag
        # of training volumes all that may be cropped at random; all of them in one size, for batches
        have = survey.usual_size() or self.config.input_size
        whole = tuple(max(sizes) for sizes in zip(have, self.config.input_size, strict=True))
        train, validation, test = (
            self._cases(site, cases[split], whole if split == "train" else self.config.input_size)
            for split in SPLITS
        )
        return SiteData(train, validation, test, measured)

    @override
    def check(self, site: Site) -> list[Finding]:
        """Every rule, with all voxels of all cases in use read; one finding for each broken rule."""
        try:
            tables, images = self._listed(site)
        except DataError as error:
            return [Finding.of(error, "tables")]
        findings = check_splits(tables, images.keys(), self.classes)
        split_of = dict(zip(tables.split["UID"], tables.split["Split"], strict=True))
        findings += check_preprocessing(site.folder, split_of)
        used = {uid: images[uid] for uid in split_of if uid in images}
        findings += check_unchanged(site.folder, used)
        survey = VolumeSurvey.of(used, voxels=True)
        if not any(finding.status == "FAIL" for finding in findings):
            findings += self._support(tables.cases(), tables.split_file)
        return [*findings, *survey.findings(), *survey.copies(split_of), *survey.passed()]

    @override
    def targets(self, cases: Cases) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Class indices [n], or [n, 2] by side; from the tables, no volume is read."""
        if isinstance(cases.dataset, VolumeDataset):
            return np.asarray(cases.dataset.labels)
        return super().targets(cases)

    @override
    def model(self) -> nn.Module:
        network = self._network()
        if self.config.batch_norm == "group":
            to_group_norm(network)
        return network

    def _batch_norm_names(self) -> list[str]:
        with torch.random.fork_rng(devices=[]):  # the names are asked for; no random number may be used up
            names = list(batch_norms(self._network()))
        if not names:
            raise JobError(
                "MS-J014",
                f"`config.batch_norm` is {self.config.batch_norm}, but backbone "
                f"{self.config.backbone.name} has no batch normalisation",
                file=self.folder / "job.yml" if self.folder else None,
            )
        return names

    def _network(self) -> nn.Module:
        """The backbone from volumes to `outputs` numbers a case, with the normalisation it comes with."""
        config = self.config
        return config.backbone.build(len(config.channels), self.outputs, config.input_size)

    @override
    def augment(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """In a volume of both breasts that is flipped from left to right, the targets change sides too."""
        config = self.config
        changed, mirrored = augment_volumes(inputs, config.input_size, config.augmentation, generator)
        if self.parts:
            targets = torch.where(mirrored.to(targets.device)[:, None], targets.flip(1), targets)
        return changed, targets

    @override
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().loss(self._by_breast(output), target.flatten())

    @override
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, classes], or [n, 2, classes] by side."""
        probabilities = super().predict(self._by_breast(output))
        return probabilities.reshape(len(output), len(self.parts), -1) if self.parts else probabilities

    @override
    def count(self, predictions: torch.Tensor, targets: torch.Tensor) -> Counts:
        return super().count(predictions.flatten(0, -2), targets.flatten())

    def _by_breast(self, output: torch.Tensor) -> torch.Tensor:
        """The model's numbers [cases, breasts × k] as [cases · breasts, k]."""
        return output.reshape(len(output) * len(self.layout.labels), -1)

    def _listed(self, site: Site) -> tuple[SplitTables, dict[str, list[Path]]]:
        """The tables, and the files of each case that has images."""
        tables = SplitTables.read(
            site.folder / self.layout.metadata, self.config.fold, labels=self.layout.labels
        )
        return tables, imaged_cases(site.folder / self.layout.images, self.config.channels)

    def _cases(self, site: Site, cases: Sequence[LabelledCase], size: tuple[int, ...]) -> Cases:
        folder = site.folder / self.layout.images
        files = [image_files(folder, case.uid, self.config.channels) for case in cases]
        cache = VolumeCache(site.scratch_dir / "volumes") if site.scratch_dir is not None else None
        labels = torch.tensor([case.labels for case in cases], dtype=torch.int64)
        dataset = VolumeDataset(files, labels if self.parts else labels.flatten(), size, cache)
        return Cases(dataset, [case.uid for case in cases])

    def _support(self, cases: dict[str, list[LabelledCase]], file: Path) -> list[Finding]:
        """Cases, or breasts where a case has two, of each class in each split."""
        findings = []
        for split in SPLITS:
            labels = [label for case in cases[split] for label in case.labels]
            counts = np.bincount(labels, minlength=len(self.classes))
            shown = f"{split}: " + ", ".join(
                f"{count} {name}" for count, name in zip(counts, self.classes, strict=True)
            )
            if not cases[split] and split != "test":
                findings.append(
                    Finding(
                        "FAIL",
                        "support",
                        f"split {split} of fold {self.config.fold} has no cases",
                        "MS-D003",
                        f"Give rows of split.csv the Split {split}.",
                        str(file),
                    )
                )
            elif not all(counts):
                repair = "This is legal; check that the labels are coded as the job declares."
                findings.append(Finding("WARN", "support", shown, "MS-D117", repair, str(file)))
            else:
                findings.append(Finding.passed("support", shown))
        return findings
