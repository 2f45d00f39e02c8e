"""What in a DICOM header names a patient or an examination, and whether a pseudonym is one of these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any

Identity = tuple[str, ...]
"""The parts of which an identity consists, without separators, in lower case."""

_NAMES = ("PatientName",)
_DATES = (
    "PatientBirthDate",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "AcquisitionDateTime",
)
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
IDENTITY_TAGS = (*_NAMES, *_DATES, *_NUMBERS, *_UIDS)

_SEPARATORS = re.compile(r"[\W_]+")
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
_FEWEST = 3
"""Letters and digits of a name or StudyID; many scanners write 1 there, which names nobody."""


def identities(header: Any) -> Iterator[Identity]:
    """Each identity of a header once for each way that people would write it."""
    for tag in IDENTITY_TAGS:
        value = header.get(tag)
        for one in value if isinstance(value, MutableSequence) else [value]:
            text = str(one or "").strip().casefold()
            fewest = _FEWEST if tag in (*_NAMES, "StudyID") else 1
            yield from (parts for parts in _parts(tag, text) if len("".join(parts)) >= fewest)


def is_one_of(pseudonym: str, known: frozenset[Identity]) -> bool:
    """Does it consist of the parts of an identity, in any order and case, with any separators or none?"""
    text = _SEPARATORS.sub("", pseudonym).casefold()
    return any(_consists_of(text, parts) for parts in known)


def _consists_of(text: str, parts: Identity) -> bool:
    if not parts:
        return not text
    if len(text) != sum(map(len, parts)):
        return False
    for part in set(parts):
        others = list(parts)
        others.remove(part)
        if text.startswith(part) and _consists_of(text[len(part) :], tuple(others)):
            return True
    return False


def _parts(tag: str, text: str) -> Iterable[Identity]:
    if tag in _NAMES:
        return _names(text)
    joined = _SEPARATORS.sub("", text)
    if tag not in _DATES:
        return [(joined,)]
    # a time of day may follow
    date = _DATE.match(joined)
    return [(date[1], date[2], date[3])] if date else []


def _names(text: str) -> Iterator[Identity]:
    """A name whole, and without what follows the given name, in each of its scripts."""
    for script in text.split("="):
        components = script.split("^")
        for chosen in (components, components[:2]):
            yield tuple(part for part in _SEPARATORS.split(" ".join(chosen)) if part)
