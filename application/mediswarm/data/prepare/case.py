"""One examination, from its folder of DICOM files to its breasts and its manifest."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mediswarm import __version__
from mediswarm.data.prepare.breasts import Breast, Grid, cut_breasts
from mediswarm.data.prepare.case_error import CaseError
from mediswarm.data.prepare.headers import Header, read_headers
from mediswarm.data.prepare.identities import Identity, is_one_of
from mediswarm.data.prepare.labels import SIDES, LabelledExamination
from mediswarm.data.prepare.manifest import Acquired, Manifest, PreparedBreast
from mediswarm.data.prepare.nifti_file import nifti_bytes
from mediswarm.data.prepare.output import (
    breast_id,
    image_file,
    image_file_of_both,
    manifest_file,
    picture_file,
    write_whole_file,
)
from mediswarm.data.prepare.phases import choose_phases
from mediswarm.data.prepare.picture import breast_picture, planes_of
from mediswarm.data.prepare.rules import Rules
from mediswarm.data.prepare.stack import Stack, read_stack, stack_phase
from mediswarm.errors import DataError, HostError, code_of

Status = Literal["prepared", "kept", "failed"]


@dataclass(frozen=True)
class CaseTask:
    """What is needed to prepare one examination, in any process.

    With `both`, a volume of both breasts is written beside the two, if both are labelled.
    """

    examination: LabelledExamination
    folder: Path
    output: Path
    rules: Rules
    grid: Grid
    both: bool = False


@dataclass(frozen=True)
class CaseOutcome:
    """What became of it. `detail` may name a patient, and is for eyes at the site only."""

    case: str
    status: Status
    code: str = ""
    message: str = ""
    repair: str = ""
    detail: str = ""

    @classmethod
    def of(cls, case: str, error: DataError) -> CaseOutcome:
        detail = error.detail if isinstance(error, CaseError) else error.place
        return cls(case, "failed", error.code, error.message, error.repair, detail)


def prepare_case(task: CaseTask) -> CaseOutcome:
    """Prepare an examination, unless its manifest says that nothing would change.

    A failure of the examination is an outcome, and so is an input that cannot be read; what concerns
    the machine or the output is raised.
    """
    case = task.examination.case
    try:
        return CaseOutcome(case, _prepare(task))
    except DataError as error:
        _remove(task)
        return CaseOutcome.of(case, error)
    except (OSError, MemoryError, HostError):
        raise
    except Exception as error:  # noqa: BLE001 - one examination nobody foresaw must not stop the others
        _remove(task)
        kind = type(error).__name__
        message = f"something unforeseen happened ({kind})"
        repair = "Run with --show-cases for the text of the error, and report it."
        return CaseOutcome(case, "failed", code_of(error), message, repair, str(error))


def _prepare(task: CaseTask) -> Status:
    case, both = task.examination.case, task.both and len(task.examination.lesions) == len(SIDES)
    headers, others = read_headers(task.folder)
    phases = choose_phases(headers, task.rules)
    for phase in phases.values():
        _require_pseudonyms(task.examination, phase.files)
    stacks = {role: stack_phase(phase, role) for role, phase in phases.items()}
    pre, post = stacks["Pre"], stacks["Post_1"]
    if pre.frame_of_reference != post.frame_of_reference:
        raise CaseError("MS-X018", "Pre and Post_1 lie in different frames of reference", detail=task.folder)
    planned = Manifest(
        case=case,
        preprocessing=task.grid.tag,
        mediswarm=__version__,
        parameters={
            "rules": task.rules.model_dump(mode="json"),
            "grid": task.grid.model_dump(mode="json"),
            "sides": list(task.examination.lesions),
        }
        | ({"both": True} if both else {}),
        inputs={role: _acquired(stack) for role, stack in stacks.items()},
        other_files=others,
        breasts={},
    )
    former = Manifest.read(manifest_file(task.output, case))
    if former is not None and _as_planned(former, planned) and former.stands(task.output):
        return "kept"
    breasts = cut_breasts(read_stack(pre), read_stack(post), task.grid)
    _remove(task)
    written = {
        breast_id(case, side): _write(task, breast_id(case, side), breasts[side])
        for side in task.examination.lesions
    }
    whole = _write_both(task, breasts) if both else {}
    planned.model_copy(update={"breasts": written, "both": whole}).write(task.output)
    return "prepared"


def _as_planned(former: Manifest, planned: Manifest) -> bool:
    """Made of the same files in the same way; a new version of MediSwarm alone changes nothing."""
    nothing = {"breasts": {}, "both": {}, "mediswarm": ""}
    return former.model_copy(update=nothing) == planned.model_copy(update=nothing)


def _require_pseudonyms(examination: LabelledExamination, files: tuple[Header, ...]) -> None:
    known = frozenset[Identity]().union(*(header.identities for header in files))
    for what, name in (("Case", examination.case), ("PatientID", examination.patient)):
        if is_one_of(name, known):
            raise CaseError("MS-X020", f"{what} of the label table stands in the DICOM header", detail=name)


def _acquired(stack: Stack) -> Acquired:
    cosines = np.abs(np.array(stack.direction)).reshape(3, 3).max(axis=0)
    return Acquired(
        size=stack.size,
        spacing_mm=(round(stack.spacing[0], 4), round(stack.spacing[1], 4), round(stack.spacing[2], 4)),
        oblique_degrees=round(float(np.degrees(np.arccos(np.clip(cosines.min(), 0, 1)))), 2),
        slices_sha256=stack.digests,
        identical_copies_left_out=stack.copies,
    )


def _write(task: CaseTask, uid: str, breast: Breast) -> PreparedBreast:
    content = nifti_bytes(breast.subtraction, task.grid.spacing_mm, breast.origin_mm)
    middle = breast.post[..., breast.post.shape[2] // 2]
    picture = breast_picture([middle, *planes_of(breast.subtraction)])
    digests = {}
    for file, data in ((image_file(task.output, uid), content), (picture_file(task.output, uid), picture)):
        write_whole_file(file, data)
        digests[file.relative_to(task.output).as_posix()] = hashlib.sha256(data).hexdigest()
    return PreparedBreast(files=digests, covered=round(breast.covered, 4), **intensities(breast.subtraction))


def _write_both(task: CaseTask, breasts: dict[str, Breast]) -> dict[str, str]:
    """Write the two breasts, which lie side by side, as one volume; its digest by its path."""
    left, right = (breasts[side] for side in SIDES)
    volume = np.concatenate([left.subtraction, right.subtraction])
    content = nifti_bytes(volume, task.grid.spacing_mm, left.origin_mm)
    file = image_file_of_both(task.output, task.examination.case)
    write_whole_file(file, content)
    return {file.relative_to(task.output).as_posix(): hashlib.sha256(content).hexdigest()}


def intensities(volume: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> dict[str, float]:
    """What the page of quality control compares between cases."""
    shown = {
        "percentile_99_5": np.percentile(volume, 99.5),
        "mean": volume.mean(dtype=np.float64),
        "deviation": volume.std(dtype=np.float64),
    }
    return {name: float(f"{float(value):.6g}") for name, value in shown.items()}


def _remove(task: CaseTask) -> None:
    """Take away what was written of the case before; the manifest first, so that a kill leaves it undone."""
    manifest = manifest_file(task.output, task.examination.case)
    former = Manifest.read(manifest)
    manifest.unlink(missing_ok=True)
    if task.both or (former is not None and former.both):
        image_file_of_both(task.output, task.examination.case).unlink(missing_ok=True)
    for side in SIDES:
        uid = breast_id(task.examination.case, side)
        picture_file(task.output, uid).unlink(missing_ok=True)
        shutil.rmtree(image_file(task.output, uid).parent, ignore_errors=True)
