"""The phases of an examination, and which of them are Pre and Post_1."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mediswarm.data.prepare.case_error import CaseError
from mediswarm.data.prepare.headers import Header
from mediswarm.data.prepare.rules import ByDescription, ByOrder, Rules

ROLES = ("Pre", "Post_1")


@dataclass(frozen=True)
class Phase:
    """Files that were acquired together."""

    files: tuple[Header, ...]

    @property
    def description(self) -> str:
        return self.files[0].description

    @property
    def acquired(self) -> str:
        return min(file.acquired for file in self.files)


def choose_phases(headers: Sequence[Header], rules: Rules) -> dict[str, Phase]:
    """The phases Pre and Post_1.

    Raises:
        CaseError: MS-X012 one is missing, MS-X013 several could be meant.
    """
    phases = _phases(headers, rules)
    for rule in rules.select:
        chosen = _by_description(phases, rule) if isinstance(rule, ByDescription) else _by_order(phases, rule)
        if chosen is not None:
            return chosen
    raise CaseError(
        "MS-X012", "no rule finds Pre and Post_1 among its series: " + _counted(phases), detail=_shown(phases)
    )


def _phases(headers: Sequence[Header], rules: Rules) -> list[Phase]:
    groups: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    for header in headers:
        if header.shape is None or header.modality not in rules.modality:
            continue
        if rules.ignore_description and _matches(rules.ignore_description, header.description):
            continue
        if set(header.image_type) & set(rules.ignore_image_type):
            continue
        values = dict(header.split_values)
        key = (header.series, *(values.get(tag, "") for tag in rules.split_by))
        groups[key].append(header)
    return [Phase(tuple(files)) for _, files in sorted(groups.items(), key=lambda group: str(group[0]))]


def _by_description(phases: list[Phase], rule: ByDescription) -> dict[str, Phase] | None:
    found = {
        role: [phase for phase in phases if _matches(pattern, phase.description)]
        for role, pattern in zip(ROLES, (rule.pre, rule.post_1), strict=True)
    }
    if not any(found.values()):
        return None
    for role, candidates in found.items():
        if not candidates:
            raise CaseError(
                "MS-X012", f"{role} is missing among its series: {_counted(phases)}", detail=_shown(phases)
            )
        if len(candidates) > 1:
            message = f"{len(candidates)} series could be {role} by their description"
            raise CaseError("MS-X013", message, detail=_shown(candidates))
    if found["Pre"] == found["Post_1"]:
        raise CaseError("MS-X013", "one series is both Pre and Post_1", detail=_shown(phases))
    return {role: candidates[0] for role, candidates in found.items()}


def _by_order(phases: list[Phase], rule: ByOrder) -> dict[str, Phase] | None:
    dynamic = [phase for phase in phases if _matches(rule.description, phase.description)]
    if not dynamic:
        return None
    places = [_place(phase, rule) for phase in dynamic]
    if not any(places):
        return None
    if what := _unclear(places, dynamic, rule):
        word = rule.by.replace("_", " ")
        raise CaseError(
            "MS-X013",
            f"the order of its {len(dynamic)} phases is not clear: {word} {what}",
            detail=_shown(dynamic),
        )
    if len(dynamic) < rule.post_1:
        message = f"{len(dynamic)} phase(s) of a dynamic series, and Post_1 is number {rule.post_1}"
        raise CaseError("MS-X012", message, detail=_shown(dynamic))
    ordered = [phase for _, phase in sorted(zip(places, dynamic, strict=True), key=lambda pair: pair[0])]
    return {"Pre": ordered[rule.pre - 1], "Post_1": ordered[rule.post_1 - 1]}


def _unclear(places: list[str], dynamic: list[Phase], rule: ByOrder) -> str | None:
    """What is wrong with what the phases are to be sorted by; None if they can be."""
    if not all(places):
        return "is not in every phase"
    forms = {_form(file.acquired) for phase in dynamic for file in phase.files}
    if rule.by == "acquisition_time" and len(forms) > 1:
        return "is not written alike in all phases (with and without a date, say), so that they do not sort"
    return "is the same in two phases" if len(set(places)) < len(places) else None


def _form(acquired: str) -> tuple[int, str]:
    """Characters before the fraction of a second, and the time zone: where they agree, text sorts by time."""
    return len(re.split(r"[.+-]", acquired)[0]), re.sub(r"^[^.+-]*(\.\d*)?", "", acquired)


def _place(phase: Phase, rule: ByOrder) -> str:
    """What the phases are sorted by, as text; empty when the phase does not say it."""
    if rule.by == "acquisition_time":
        return phase.acquired
    positions = {header.temporal_position for header in phase.files}
    # one value, or the files were not told apart by it
    return next(iter(positions)).zfill(6) if len(positions) == 1 and "" not in positions else ""


def _matches(pattern: str, description: str) -> bool:
    return re.search(pattern, description, re.IGNORECASE) is not None


def _counted(phases: list[Phase]) -> str:
    return f"{len(phases)} phase(s) count by the rules"


def _shown(phases: list[Phase]) -> str:
    return "; ".join(f"{phase.description!r} ({len(phase.files)} files)" for phase in phases) or "no series"
