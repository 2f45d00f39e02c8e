"""The ODELIA pipeline: three-class classification of single breasts in MRI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from mediswarm.data.findings import Finding, raise_on_failure
from mediswarm.data.split_checks import check_splits
from mediswarm.data.splits import SPLITS, LabelledCase, SplitTables
from mediswarm.data.volume_checks import VolumeSurvey
from mediswarm.data.volume_dataset import VolumeDataset
from mediswarm.data.volumes import PREPROCESSING
from mediswarm.errors import DataError
from mediswarm.models.cnn3d import Cnn3d
from mediswarm.models.densenet import densenet_3d
from mediswarm.pipelines.base import Cases, Site, SiteData
from mediswarm.pipelines.classification import ClassificationPipeline
from mediswarm.pipelines.odelia.augment import flip_and_rotate
from mediswarm.pipelines.odelia.config import Densenet121, OdeliaConfig
from mediswarm.pipelines.odelia.site_files import image_files, imaged_cases, metadata_folder


class Odelia(ClassificationPipeline[OdeliaConfig]):
    """Volumes of single breasts, labelled by the most suspicious lesion."""

    Config = OdeliaConfig
    needs_data = True

    @property
    @override
    def classes(self) -> tuple[str, ...]:
        return self.config.classes

    @override
    def contract(self) -> dict[str, Any]:
        return super().contract() | {
            "channels": list(self.config.channels),
            "input_shape": [len(self.config.channels), *self.config.input_size],
            "preprocessing": PREPROCESSING,
        }

    @override
    def data(self, site: Site) -> SiteData:
        """Tables and headers are read and checked now, voxels when a case is asked for.

        Raises:
            DataError: MS-D002, MS-D003, MS-D101 to MS-D127: the first rule that is broken.
        """
        tables = SplitTables.read(metadata_folder(site.folder), self.config.fold)
        images = imaged_cases(site.folder, self.config.channels)
        raise_on_failure(check_splits(tables, images.keys(), self.classes))
        cases = tables.cases()
        raise_on_failure(self._support(cases, tables.split_file))
        used = {case.uid: images[case.uid] for split in SPLITS for case in cases[split]}
        survey = VolumeSurvey.of(used, voxels=False)
        raise_on_failure(survey.findings())
        train, validation, test = (self._cases(site.folder, cases[split]) for split in SPLITS)
        return SiteData(train, validation, test, survey.measured())

    @override
    def check(self, site: Site) -> list[Finding]:
        """Every rule, with all voxels of all cases in use read; one finding for each broken rule."""
        try:
            tables = SplitTables.read(metadata_folder(site.folder), self.config.fold)
            images = imaged_cases(site.folder, self.config.channels)
        except DataError as error:
            return [Finding.of(error, "tables")]
        findings = check_splits(tables, images.keys(), self.classes)
        split_of = dict(zip(tables.split["UID"], tables.split["Split"], strict=True))
        survey = VolumeSurvey.of({uid: images[uid] for uid in split_of if uid in images}, voxels=True)
        if not any(finding.status == "FAIL" for finding in findings):
            findings += self._support(tables.cases(), tables.split_file)
        return [*findings, *survey.findings(), *survey.copies(split_of), *survey.passed()]

    @override
    def targets(self, cases: Cases) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Class indices [n]; from the tables, no volume is read."""
        if isinstance(cases.dataset, VolumeDataset):
            return np.array(cases.dataset.labels, dtype=np.int64)
        return super().targets(cases)

    @override
    def model(self) -> nn.Module:
        backbone, channels = self.config.backbone, len(self.config.channels)
        if isinstance(backbone, Densenet121):
            return densenet_3d(
                channels,
                len(self.classes),
                backbone.init_features,
                backbone.growth_rate,
                backbone.block_config,
            )
        return Cnn3d(channels, len(self.classes), backbone.width, backbone.norm)

    @override
    def augment(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return flip_and_rotate(inputs, generator), targets

    def _cases(self, folder: Path, cases: Sequence[LabelledCase]) -> Cases:
        files = [image_files(folder, case.uid, self.config.channels) for case in cases]
        dataset = VolumeDataset(files, [case.label for case in cases], self.config.input_size)
        return Cases(dataset, [case.uid for case in cases])

    def _support(self, cases: dict[str, list[LabelledCase]], file: Path) -> list[Finding]:
        """Cases of each class in each split."""
        findings = []
        for split in SPLITS:
            counts = np.bincount([case.label for case in cases[split]], minlength=len(self.classes))
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
