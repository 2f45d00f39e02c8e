"""All cases of a site: prepared in parallel, then the tables and the page of quality control."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mediswarm.data.prepare.breasts import Grid
from mediswarm.data.prepare.case import CaseOutcome, CaseTask, prepare_case
from mediswarm.data.prepare.existing import tag_case, tag_tasks
from mediswarm.data.prepare.folds import (
    annotation_table,
    annotation_table_of_both,
    split_table,
    split_table_of_both,
)
from mediswarm.data.prepare.headers import is_dicom
from mediswarm.data.prepare.labels import LabelledExamination, read_labels
from mediswarm.data.prepare.leftovers import has_volumes_of_both, leftovers
from mediswarm.data.prepare.libraries import require_dicom_libraries
from mediswarm.data.prepare.manifest import Manifest
from mediswarm.data.prepare.output import (
    METADATA,
    METADATA_OF_BOTH,
    manifest_file,
    opened_output,
    write_whole_file,
)
from mediswarm.data.prepare.qc_page import write_qc_page
from mediswarm.data.prepare.rules import load_rules
from mediswarm.data.prepare.workers import in_processes
from mediswarm.errors import DataError, UsageError

Watch = Callable[[int, CaseOutcome | None], None]
"""Called with the number of cases, and with each outcome."""


@dataclass
class Preparation:
    """What was done; `outcomes` in the order of the cases' names."""

    outcomes: list[CaseOutcome] = field(default_factory=list)
    page: Path | None = None

    @property
    def failed(self) -> list[CaseOutcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    def count(self, status: str) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)


def prepare_dicom(
    source: Path,
    output: Path,
    labels: Path,
    rules: Path | None,
    workers: int,
    watch: Watch,
    grid: Grid | None = None,
    *,
    both: bool = False,
) -> Preparation:
    """Prepare the examinations of a folder. What was prepared before, of the same files, is kept.

    Args:
        source: holds one folder of DICOM files for each examination; only read.
        output: becomes a site's folder of the ODELIA pipeline.
        labels: see :func:`mediswarm.data.prepare.labels.read_labels`.
        rules: a rule file, or None for the default rules.
        workers: processes.
        watch: is told of each case.
        grid: None for that of the ODELIA data.
        both: also write one volume of both breasts for each case that has labels for both, with tables
            of its own, for laterality `original`; where that was done before, it is done again.

    Raises:
        HostError: MS-X001, MS-H004. UsageError: MS-X009. RunCrashed: MS-X024.
        DataError: MS-X002 to MS-X006 and MS-D101 to MS-D103, for what concerns all cases.
    """
    require_dicom_libraries()
    if output.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(output.resolve()):
        raise UsageError(
            "MS-X009", "one of the two folders --input and --output lies in the other", file=output
        )
    chosen = load_rules(rules)
    folders = _folders(source)
    examinations = read_labels(labels)
    with opened_output(output):
        both = both or has_volumes_of_both(output)
        tasks = [
            CaseTask(one, source / one.folder, output, chosen, grid or Grid(), both) for one in examinations
        ]
        watch(len(tasks), None)
        done = Preparation()
        for outcome in in_processes(prepare_case, tasks, workers):
            done.outcomes.append(outcome)
            watch(len(tasks), outcome)
        done.outcomes.sort(key=lambda outcome: outcome.case)
        done.outcomes += _unlabelled(folders, examinations)
        done.outcomes += _loose(source)
        done.outcomes += _left_over(output, examinations)
        manifests = list(_manifests(output, done))
        done.outcomes += _write_tables(output, examinations, manifests, both=both)
        done.page = write_qc_page(output, manifests, done.failed)
    return done


def tag_prepared(root: Path, workers: int, watch: Watch, grid: Grid | None = None) -> Preparation:
    """Check and tag the volumes of a folder in the ODELIA layout, which are left as they are.

    Raises:
        UsageError: MS-X009 the folder cannot be written.
        DataError: MS-X002 there are no volumes. RunCrashed: MS-X024.
    """
    tasks = tag_tasks(root, grid or Grid())
    if not tasks:
        raise DataError("MS-X002", "the folder of images is empty", file=root)
    with opened_output(root):
        watch(len(tasks), None)
        done = Preparation()
        for outcome in in_processes(tag_case, tasks, workers):
            done.outcomes.append(outcome)
            watch(len(tasks), outcome)
        done.outcomes.sort(key=lambda outcome: outcome.case)
        done.page = write_qc_page(root, list(_manifests(root, done)), done.failed)
    return done


def usual_workers() -> int:
    """One process for each core that this one may use, and one for each 2 GiB of memory, at least one."""
    import psutil

    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, psutil.virtual_memory().available // 2**31))


def _folders(source: Path) -> set[str]:
    try:
        folders = {entry.name for entry in source.iterdir() if _is_folder(entry) and entry.name[0] != "."}
    except OSError as error:
        raise DataError("MS-X002", f"the input cannot be listed ({error.strerror})", file=source) from error
    if not folders:
        raise DataError("MS-X002", "the input holds no folder", file=source)
    return folders


def _is_folder(entry: Path) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # a link to where this account may not look: told of as its case, or as one without a row
        return entry.is_symlink()


def _unlabelled(folders: set[str], examinations: list[LabelledExamination]) -> list[CaseOutcome]:
    lost = sorted(folders - {one.folder for one in examinations})
    if not lost:
        return []
    message = f"folders of the input that stand in no row of the label table: {len(lost)}"
    error = DataError("MS-X007", message)
    return [CaseOutcome("–", "failed", error.code, message, error.repair, ", ".join(lost))]


def _loose(source: Path) -> list[CaseOutcome]:
    """The failure when DICOM files lie beside the examinations' folders."""
    lost = sorted(file.name for file in source.iterdir() if os.path.isfile(file) and is_dicom(file))  # noqa: PTH113
    if not lost:
        return []
    message = f"DICOM files that lie in the input itself, in no examination's folder: {len(lost)}"
    repair = "Move them into the folder of their examination, or out of the input."
    return [CaseOutcome("–", "failed", "MS-X007", message, repair, ", ".join(lost))]


def _left_over(root: Path, examinations: list[LabelledExamination]) -> list[CaseOutcome]:
    found = leftovers(root, {one.case for one in examinations})
    if not found:
        return []
    message = f"cases of the output that stand in no row of the label table: {len(found)}"
    error = DataError("MS-X028", message)
    detail = ", ".join(str(entry) for entries in found.values() for entry in entries)
    return [CaseOutcome("–", "failed", error.code, message, error.repair, detail)]


def _manifests(root: Path, done: Preparation) -> Iterator[Manifest]:
    for outcome in done.outcomes:
        if outcome.status != "failed":
            manifest = Manifest.read(manifest_file(root, outcome.case))
            if manifest is not None:
                yield manifest


def _write_tables(
    root: Path, examinations: list[LabelledExamination], manifests: list[Manifest], *, both: bool
) -> list[CaseOutcome]:
    """Write annotation.csv and split.csv; the failure when there are too few patients for the latter."""
    tables = [
        (METADATA, {uid for manifest in manifests for uid in manifest.breasts}, annotation_table, split_table)
    ]
    if both:
        cases = {manifest.case for manifest in manifests if manifest.both}
        tables.append((METADATA_OF_BOTH, cases, annotation_table_of_both, split_table_of_both))
    failure: list[CaseOutcome] = []
    for folder, prepared, annotation, split in tables:
        write_whole_file(root / folder / "annotation.csv", annotation(examinations, prepared).encode())
        file = root / folder / "split.csv"
        try:
            write_whole_file(file, split(examinations, prepared).encode())
        except DataError as error:
            file.unlink(missing_ok=True)
            failure = [CaseOutcome.of("–", error)]
    return failure
