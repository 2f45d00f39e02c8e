"""A site's patients with labels, feature files and splits, and everything that is wrong with them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Self

from mediswarm.data.bags.bag_cache import BagCache
from mediswarm.data.bags.bag_dataset import BagDataset
from mediswarm.data.bags.feature_checks import FeatureIdentity, FeatureSurvey
from mediswarm.data.bags.patient_splits import (
    PatientSplit,
    draw_folds,
    draw_split,
    keep_splits,
    read_kept_split,
    read_split,
)
from mediswarm.data.bags.patients import Patients
from mediswarm.data.findings import Finding
from mediswarm.data.splits import SPLITS
from mediswarm.errors import DataError
from mediswarm.pipelines.base import Cases, Site
from mediswarm.pipelines.stamp.config import StampConfig
from mediswarm.pipelines.stamp.site_files import SiteFiles
from mediswarm.pipelines.stamp.tasks.interface import Task
from mediswarm.spec.digest import sha256_of_json

_KEY_LENGTH = 16


@dataclass(frozen=True)
class Cohort:
    """What was read at a site; to be used only when no finding is a FAIL."""

    config: StampConfig
    patients: Patients
    targets: dict[str, list[float]]
    survey: FeatureSurvey
    split: PatientSplit | None
    findings: list[Finding]
    cache: BagCache | None

    @classmethod
    def read(
        cls, site: Site, config: StampConfig, task: Task, *, numbers: bool = False, judged: bool = False
    ) -> Self:
        """Read the tables and the header of every feature file, and with `numbers` all features.

        Patients who are only `judged` are in no split, and may have nothing of what the task asks about:
        their targets are NaN.

        Raises:
            DataError: MS-D002, MS-D101 to MS-D103, MS-B029, MS-B070: what keeps it from reading on.
        """
        files = SiteFiles.of(site.folder, config)
        names = config.files
        patients = Patients.read(
            files.clinical,
            files.slides,
            files.features,
            task.columns,
            patient=names.patient,
            filename=names.filename,
            labelled=not judged,
        )
        targets, labels = read_targets(patients, task, unlabelled=judged)
        # files that are not there are found in the tables already
        there = {
            uid: [file for file in patient.files if file not in patients.missing]
            for uid, patient in patients.patients.items()
        }
        survey = FeatureSurvey.of(there, numbers=numbers, undeclared=config.features.undeclared)
        findings = [*patients.findings, *labels]
        findings += survey.findings(_declared(config), coords=config.model.needs_coords)
        findings += survey.copies()
        split = None
        if not judged and not any(finding.status == "FAIL" for finding in findings):
            strata = {uid: task.stratum(target) for uid, target in targets.items()}
            split, found = _split(site, files, config, task, strata)
            findings += [*survey.passed(), *found]
        cache = BagCache(site.scratch_dir / "bags") if site.scratch_dir is not None else None
        return cls(config, patients, targets, survey, split, findings, cache)

    def cases(self) -> tuple[Cases, Cases, Cases]:
        """Cases for training, validation and test."""
        if self.split is None:
            raise ValueError("a cohort that broke a rule has no splits")
        train, validation, test = (self.of(getattr(self.split, name)) for name in SPLITS)
        return train, validation, test

    def measured(self) -> dict[str, Any]:
        """What the files say of themselves, which must be the same at all sites."""
        return {"measured_features": self.survey.measured()}

    def of(self, ids: Sequence[str]) -> Cases:
        """Those patients, whatever their split."""
        bags = BagDataset(
            ids,
            [self.patients.patients[uid].files for uid in ids],
            [self.targets[uid] for uid in ids],
            self.survey.headers,
            drawn_tiles=self.config.bag_size,
            cache=self.cache,
        )
        return Cases(bags, ids)


def read_targets(
    patients: Patients, task: Task, *, unlabelled: bool = False
) -> tuple[dict[str, list[float]], list[Finding]]:
    """The target of each patient by id, and one finding for each rule that the table's texts break.

    With `unlabelled`, patients all of whose cells are empty are accepted, with targets NaN.
    """
    targets: dict[str, list[float]] = {}
    broken: dict[str, list[tuple[str, int, DataError]]] = {}
    for uid, patient in patients.patients.items():
        if unlabelled and not any(patient.row[column] for column in task.columns):
            targets[uid] = [math.nan] * len(task.columns)
            continue
        try:
            targets[uid] = task.target(patient.row)
        except DataError as error:
            broken.setdefault(error.code, []).append((uid, patient.line, error))
    findings = []
    for code, cases in sorted(broken.items()):
        _, line, first = cases[0]
        others = (
            f" (and {len(cases) - 1} more of {len(patients.patients)} patients)" if len(cases) > 1 else ""
        )
        findings.append(
            Finding(
                "FAIL",
                "labels",
                first.message + others,
                code,
                first.repair,
                f"{patients.table}:{line}",
                tuple(uid for uid, _, _ in cases),
            )
        )
    return targets, findings


def _declared(config: StampConfig) -> FeatureIdentity:
    declared = config.features
    return FeatureIdentity(
        declared.extractor,
        declared.extractor_hash or "",
        declared.tile_size_um if declared.level == "tile" else None,
        declared.dimension,
        declared.level,
    )


def _split(
    site: Site, files: SiteFiles, config: StampConfig, task: Task, strata: dict[str, str]
) -> tuple[PatientSplit | None, list[Finding]]:
    """The split of the job's fold, and what was found; None where a rule is broken."""
    splits = config.splits
    try:
        if written := written_split(site, files, config, task, sorted(strata)):
            split, findings = written
            return split, [*findings, *_support(split, strata, task)]
        if splits.folds is not None:
            drawn = draw_folds(strata, splits.seed, splits.folds)
        else:
            drawn = [draw_split(strata, splits.seed, splits.fractions)]
    except DataError as error:
        return None, [Finding.of(error, "splits")]
    split = drawn[splits.fold]
    return split, [*_keep(kept_draw(site, config, task), drawn), *_support(split, strata, task)]


def written_split(
    site: Site, files: SiteFiles, config: StampConfig, task: Task, ids: Sequence[str]
) -> tuple[PatientSplit, list[Finding]] | None:
    """The split of `ids` that the site's own table or an earlier draw says, and what was found there.

    Raises:
        DataError: MS-D101 to MS-D115, or of series B: what keeps it from being read.
    """
    if files.splits is not None:
        return read_split(files.splits, ids, config.splits.fold)
    kept = kept_draw(site, config, task)
    return read_kept_split(kept, ids, config.splits.fold) if kept is not None and kept.exists() else None


def kept_draw(site: Site, config: StampConfig, task: Task) -> Path | None:
    """Where the site keeps the draw, so that patients who come later change nobody's split."""
    if site.scratch_dir is None:
        return None
    drawn_by = config.splits.model_dump(mode="json", exclude={"fold", "table"})
    key = sha256_of_json({"splits": drawn_by, "task": task.contract(), "site": site.name})[:_KEY_LENGTH]
    return site.scratch_dir / "splits" / f"{key}.csv"


def _keep(file: Path | None, drawn: Sequence[PatientSplit]) -> Iterator[Finding]:
    if file is None:
        return
    try:
        keep_splits(file, drawn)
    except OSError as error:
        message = f"the splits cannot be kept ({error.strerror}); patients who come later would change them"
        yield Finding("WARN", "splits", message, "MS-B071", file=str(file))


def _support(split: PatientSplit, strata: dict[str, str], task: Task) -> Iterator[Finding]:
    """How many patients of each stratum each split has; of those that the task expects, also none."""
    known = sorted({*strata.values(), *task.expected})
    for name in SPLITS:
        ids = [uid for uid in getattr(split, name) if uid in strata]
        if not ids:
            continue
        counts = Counter(strata[uid] for uid in ids)
        shown = f"{name}: " + ", ".join(f"{counts[stratum]} {stratum}" for stratum in known)
        if len(counts) < len(known):
            repair = "This is legal; check that the labels are coded as the job declares."
            yield Finding("WARN", "support", shown, "MS-D117", repair)
        else:
            yield Finding.passed("support", shown)
