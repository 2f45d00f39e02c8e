"""Checks of all feature files of a site: readable, made in one way, and in the way that the job declares."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from mediswarm.data.bags.feature_file import FeatureHeader, Kind, read_header
from mediswarm.data.bags.tile_reader import read_tiles
from mediswarm.data.findings import Finding, Status
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import DataError

_IN_WORDS = {
    "extractor": "extractor",
    "extractor_hash": "hash of the extractor",
    "tile_size_um": "tile size in µm",
    "features": "dimension",
    "feat_type": "level",
}


@dataclass(frozen=True)
class FeatureIdentity:
    """How features were made. Features of the same length can be of different extractors (D7).

    `extractor` is None of files that do not say it.
    """

    extractor: str | None
    extractor_hash: str
    tile_size_um: float | None
    features: int
    feat_type: Kind

    @classmethod
    def of(cls, header: FeatureHeader) -> Self:
        """What a file says of itself."""
        return cls(
            header.extractor,
            header.extractor_hash,
            header.tile_size_um,
            header.features,
            header.kind,
        )

    def other_than(self, declared: FeatureIdentity) -> list[str]:
        """What differs from what a job declares; where it declares no hash or tile size, any will do.

        Files that do not say their extractor may not say the tile size either.
        """
        unsaid: set[str] = set()
        if self.extractor is None:
            unsaid = {"extractor", "extractor_hash", *(["tile_size_um"] if self.tile_size_um is None else [])}
        pairs = [
            (words, getattr(self, name), getattr(declared, name))
            for name, words in _IN_WORDS.items()
            if name not in unsaid
        ]
        return [
            f"{words} {_shown(have)} instead of {_shown(want)}"
            for words, have, want in pairs
            if want and have != want
        ]

    def describe(self) -> str:
        """For messages."""
        name = f"{self.extractor}-{self.extractor_hash}" if self.extractor_hash else self.extractor
        name = name or "an extractor that is not said"
        tile = f", tiles of {self.tile_size_um:g} µm" if self.tile_size_um is not None else ""
        return f"{self.feat_type} features [{self.features}] of {name}{tile}"


@dataclass
class FeatureSurvey:
    """What was seen of a site's feature files: headers, errors by code, digests of the content."""

    headers: dict[Path, FeatureHeader] = field(default_factory=dict)
    errors: dict[str, list[tuple[str, DataError]]] = field(default_factory=lambda: defaultdict(list))
    digests: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    patients: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Mapping[str, Sequence[Path]], *, numbers: bool, undeclared: bool = False) -> Self:
        """Read the header of every file, and with `numbers` everything.

        Args:
            files: the feature files of each patient, by id.
            numbers: False reads the headers only, about a millisecond a file.
            undeclared: whether files that do not say their extractor are accepted.
        """
        survey = cls()
        for uid, group in files.items():
            for file in group:
                survey.patients[file] = uid
                try:
                    header = read_header(file)
                    survey.headers[file] = header if undeclared else _named(file, header)
                    if numbers:
                        survey.digests[_digest(file, header)].append(uid)
                except DataError as error:
                    survey.errors[error.code].append((uid, error))
        return survey

    def findings(self, declared: FeatureIdentity, *, coords: bool) -> list[Finding]:
        """One finding for each rule that is broken.

        Args:
            declared: what the job says of the features.
            coords: whether the job's model needs to know where tiles lie.
        """
        found = [*self._unreadable(), *self._mixed(), *self._unlike(declared), *self._undeclared(declared)]
        return [*found, *self._without_coords()] if coords else found

    def passed(self) -> list[Finding]:
        """One PASS line for the files that could be read."""
        if not self.headers:
            return []
        tiles = [header.tiles for header in self.headers.values()]
        shown = f"{len(tiles)} of {len(self.patients)} files read; {self._usual().describe()}"
        bags: Counter[str] = Counter()
        for file, header in self.headers.items():
            bags[self.patients[file]] += header.tiles
        sizes = f"bags of {min(bags.values())} to {max(bags.values())} tiles"
        return [Finding.passed("features", f"{shown}; {sizes}")]

    def measured(self) -> dict[str, Any]:
        """How the features were made, for the data contract, with its digest; empty without files.

        `extractor` None says that it was not declared; sites where it is and where it is not differ.
        """
        if not self.headers:
            return {}
        said = asdict(self._usual())
        return said | {
            "features_digest": hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()[:16]
        }

    def copies(self) -> list[Finding]:
        """WARN when the same features stand in several files (needs a survey of the numbers)."""
        groups = [uids for uids in self.digests.values() if len(uids) > 1]
        if not groups:
            return []
        several = sum(len(set(uids)) > 1 for uids in groups)
        message = (
            f"features that stand in several files: {len(groups)}, of them of different patients: {several}"
        )
        return [_finding("WARN", "MS-B032", message, None, sorted({uid for uids in groups for uid in uids}))]

    def _unreadable(self) -> Iterator[Finding]:
        for code, errors in sorted(self.errors.items()):
            first, others = errors[0][1], len(errors) - 1
            title = ERROR_CODES[code].title
            yield Finding(
                "FAIL",
                "features",
                f"{len(errors)} of {len(self.patients)} files: {title[0].lower()}{title[1:]}"
                f" ({first.message}{f', and {others} more' if others else ''})",
                code,
                first.repair,
                first.place,
                tuple(uid for uid, _ in errors),
            )

    def _usual(self) -> FeatureIdentity:
        return Counter(map(FeatureIdentity.of, self.headers.values())).most_common(1)[0][0]

    def _mixed(self) -> Iterator[Finding]:
        if not self.headers:
            return
        usual = self._usual()
        others = [file for file, header in self.headers.items() if FeatureIdentity.of(header) != usual]
        if others:
            other = FeatureIdentity.of(self.headers[others[0]]).describe()
            count = f"{len(others)} of {len(self.headers)}"
            message = f"{count} files are not the usual {usual.describe()}, but for example {other}"
            yield self._finding("MS-B030", message, others)

    def _unlike(self, declared: FeatureIdentity) -> Iterator[Finding]:
        groups: dict[str, list[Path]] = defaultdict(list)
        for file, header in self.headers.items():
            groups["; ".join(FeatureIdentity.of(header).other_than(declared))].append(file)
        groups.pop("", None)
        for differs, files in groups.items():
            yield self._finding("MS-B031", f"{len(files)} of {len(self.headers)} files: {differs}", files)

    def _undeclared(self, declared: FeatureIdentity) -> Iterator[Finding]:
        files = [file for file, header in self.headers.items() if header.extractor is None]
        if files:
            count = f"{len(files)} of {len(self.headers)}"
            message = f"{count} files do not say their extractor; the job takes it to be {declared.extractor}"
            cases = [self.patients[file] for file in files]
            yield _finding("WARN", "MS-B033", message, str(files[0]), cases)

    def _without_coords(self) -> Iterator[Finding]:
        without = [file for file, header in self.headers.items() if not header.has_coords]
        if without:
            count = f"{len(without)} of {len(self.headers)}"
            message = f"{count} files have no coordinates, which the job's model needs"
            yield self._finding("MS-B004", message, without)

    def _finding(self, code: str, message: str, files: Sequence[Path]) -> Finding:
        return _finding("FAIL", code, message, str(files[0]), [self.patients[file] for file in files])


def _finding(status: Status, code: str, message: str, place: str | None, cases: Iterable[str]) -> Finding:
    return Finding(status, "features", message, code, ERROR_CODES[code].resolve, place, tuple(cases))


def _named(file: Path, header: FeatureHeader) -> FeatureHeader:
    if header.extractor is None:
        raise DataError("MS-B007", "the file names no extractor", file=file)
    return header


def _shown(value: str | float | None) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value or "not said")


def _digest(file: Path, header: FeatureHeader) -> str:
    """SHA-256 of all features. Raises DataError MS-B008 or MS-B004 where a number is NaN or infinite."""
    features, coords = read_tiles(file, None, header)
    if bad := int((~np.isfinite(features).all(axis=1)).sum()):
        raise DataError("MS-B008", f"{bad} of {header.tiles} tiles hold NaN or infinity", file=file)
    if bad := int((~np.isfinite(coords).all(axis=1)).sum()):
        raise DataError(
            "MS-B004", f"{bad} of {header.tiles} tiles have coordinates of NaN or infinity", file=file
        )
    return hashlib.sha256(features.data).hexdigest()
