"""Pseudonyms that are identities from the header, however they are written; and those that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from mediswarm.data.prepare.identities import identities, is_one_of
from mediswarm.data.prepare.preparation import Preparation


def header(**tags: object) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


KNOWN = frozenset(
    identities(
        header(
            PatientName="Doe-Smith^Jane^^Dr",
            PatientBirthDate="19610203",
            StudyDate="20240517",
            AcquisitionDateTime="20240518093000.5",
            PatientID="MRN-4711",
            OtherPatientIDs=["A 12", "B13"],
            StudyID="1",
            StudyInstanceUID="1.2.826.0.1.77",
            SOPInstanceUID="1.2.826.0.1.99",
        )
    )
)


@pytest.mark.parametrize(
    "pseudonym",
    [
        *("DOE-SMITH_JANE", "Jane.Doe.Smith", "JaneDoeSmith", "smith-doe-jane-dr"),
        *("19610203", "1961-02-03", "03.02.1961", "2024-05-17", "20240518"),
        *("mrn4711", "MRN_4711", "A12", "b13", "1.2.826.0.1.77", "1-2-826-0-1-99"),
    ],
)
def test_an_identity_is_known_however_it_is_written(pseudonym: str) -> None:
    assert is_one_of(pseudonym, KNOWN)


@pytest.mark.parametrize(
    "pseudonym", ["1", "7", "P1", "Jane", "4711", "19610204", "1961", "2024-05", "12", "X"]
)
def test_what_is_no_identity_is_a_pseudonym(pseudonym: str) -> None:
    assert not is_one_of(pseudonym, KNOWN)


def test_a_name_of_less_than_three_letters_names_nobody() -> None:
    assert not is_one_of("7", frozenset(identities(header(PatientName="7", StudyID="7"))))
    assert is_one_of("7", frozenset(identities(header(PatientID="7"))))


@pytest.mark.parametrize(
    "pseudonym", ["Jane_Doe", "1961-02-03", "2024.05.17", "1.2.826.0.1.3680043.8.498.77"]
)
def test_such_a_case_is_refused(
    make_site: Callable[..., Path], prepared: Callable[..., Preparation], pseudonym: str
) -> None:
    source = make_site()
    table = source / "labels.csv"
    table.write_text(table.read_text().replace("C0,", f"{pseudonym},"))
    assert prepared(source).outcomes[0].code == "MS-X020"
