"""Checks of all volumes of a site: readable, of one geometry, each there once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mediswarm.data.findings import Finding, Status
from mediswarm.data.volumes import Geometry, content_digest, read_geometry, read_volume
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import DataError

_SPACING_TOLERANCE = 0.01
"""Relative; scanners and resampling round the same nominal spacing differently."""


@dataclass
class VolumeSurvey:
    """What was seen of a site's volumes: errors by code, geometries, digests of the content."""

    geometries: dict[Path, Geometry] = field(default_factory=dict)
    errors: dict[str, list[tuple[str, DataError]]] = field(default_factory=lambda: defaultdict(list))
    digests: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    cases: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Mapping[str, Sequence[Path]], *, voxels: bool) -> VolumeSurvey:
        """Read the headers of all files, and with `voxels` everything.

        Args:
            files: the files of each case, by id, one for each channel.
            voxels: False reads the headers only, some milliseconds a file.
        """
        survey = cls()
        for uid, channels in files.items():
            digests = []
            for file in channels:
                survey.cases[file] = uid
                try:
                    survey.geometries[file] = read_geometry(file)
                    if voxels:
                        digests.append(content_digest(read_volume(file)))
                except DataError as error:
                    survey.errors[error.code].append((uid, error))
            if len(digests) == len(channels):
                survey.digests[" ".join(digests)].append(uid)
        return survey

    def findings(self) -> list[Finding]:
        """One finding for each rule that is broken."""
        return [*self._unreadable(), *self._geometry()]

    def passed(self) -> list[Finding]:
        """One PASS line when every file was read and all have one geometry."""
        if not self.geometries or any(finding.status == "FAIL" for finding in self.findings()):
            return []
        usual = self._usual()
        return [
            Finding.passed(
                "images", f"{len(self.cases)} files read; {usual.orientation}, {_millimetres(usual)}"
            )
        ]

    def measured(self) -> dict[str, object]:
        """Orientation and spacing (mm, to 0.01) for the data contract; empty without volumes."""
        if not self.geometries:
            return {}
        geometry = self._usual()
        spacing = [round(step, 2) for step in geometry.spacing]
        return {"orientation": geometry.orientation, "spacing_mm": spacing}

    def usual_size(self) -> tuple[int, ...] | None:
        """Voxels along the canonical axes of most images; None without volumes."""
        return self._usual().shape if self.geometries else None

    def copies(self, split_of: Mapping[str, str]) -> list[Finding]:
        """WARN when the same content stands under several ids (needs a survey of the voxels)."""
        groups = [uids for uids in self.digests.values() if len(uids) > 1]
        if not groups:
            return []
        across = sum(len({split_of.get(uid) for uid in uids}) > 1 for uids in groups)
        return [
            Finding(
                "WARN",
                "images",
                f"images that stand under several ids: {len(groups)} ({sum(map(len, groups))} ids), "
                f"of them in different splits: {across}",
                "MS-D119",
                ERROR_CODES["MS-D119"].resolve,
                cases=tuple(uid for uids in groups for uid in uids),
            )
        ]

    def _unreadable(self) -> Iterable[Finding]:
        for code, errors in sorted(self.errors.items()):
            first = errors[0][1]
            others = len(errors) - 1
            title = ERROR_CODES[code].title
            yield Finding(
                "FAIL",
                "images",
                f"{len(errors)} of {len(self.cases)} files: {title[0].lower()}{title[1:]}"
                f" ({first.message}{f', and {others} more' if others else ''})",
                code,
                first.repair,
                first.place,
                tuple(uid for uid, _ in errors),
            )

    def _usual(self) -> Geometry:
        return Counter(self.geometries.values()).most_common(1)[0][0]

    def _geometry(self) -> Iterable[Finding]:
        if not self.geometries:
            return
        usual = self._usual()
        for what, shown, code, status, same in _RULES:
            others = [file for file, geometry in self.geometries.items() if not same(geometry, usual)]
            if others:
                yield Finding(
                    status,
                    "geometry",
                    f"{len(others)} of {len(self.geometries)} images have another {what} "
                    f"than the usual {shown(usual)}",
                    code,
                    ERROR_CODES[code].resolve,
                    str(others[0]),
                    tuple(self.cases[file] for file in others),
                )


def _millimetres(geometry: Geometry) -> str:
    return " x ".join(f"{step:g}" for step in geometry.spacing) + " mm"


def _same_spacing(one: Geometry, other: Geometry) -> bool:
    return all(abs(a - b) <= _SPACING_TOLERANCE * b for a, b in zip(one.spacing, other.spacing, strict=True))


_RULES: tuple[
    tuple[str, Callable[[Geometry], str], str, Status, Callable[[Geometry, Geometry], bool]], ...
] = (
    (
        "orientation",
        lambda usual: usual.orientation,
        "MS-D125",
        "FAIL",
        lambda one, other: one.orientation == other.orientation,
    ),
    (
        "spacing",
        _millimetres,
        "MS-D125",
        "FAIL",
        _same_spacing,
    ),
    (
        "size",
        lambda usual: " x ".join(map(str, usual.shape)) + " voxels",
        "MS-D126",
        "WARN",
        lambda one, other: one.shape == other.shape,
    ),
)
