"""Which series is which: by rules, and an error where they do not decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mediswarm.data.prepare.case_error import CaseError
from mediswarm.data.prepare.headers import Header
from mediswarm.data.prepare.phases import choose_phases
from mediswarm.data.prepare.rules import Rules, load_rules
from mediswarm.errors import DataError


def header(
    series: str, description: str, acquired: str = "", position: str = "", **changes: object
) -> Header:
    values: dict[str, object] = {
        "file": Path(series),
        "series": series,
        "frame_of_reference": "f",
        "description": description,
        "image_type": ("ORIGINAL", "PRIMARY"),
        "modality": "MR",
        "shape": (4, 4),
        "samples": 1,
        "frames": 1,
        "pixel_spacing": (1.0, 1.0),
        "orientation": (1.0, 0, 0, 0, 1, 0),
        "position": (0.0, 0, 0),
        "split_values": (("TemporalPositionIdentifier", position),) if position else (),
        "acquired": acquired,
        "identities": frozenset(),
    }
    return Header(**(values | changes))  # type: ignore[arg-type]


def chosen(headers: Sequence[Header], rules: Rules | None = None) -> tuple[str, str]:
    phases = choose_phases(headers, rules or load_rules(None))
    found = tuple(phases[role].files[0] for role in ("Pre", "Post_1"))
    return found[0].acquired or found[0].series, found[1].acquired or found[1].series


PRE, POST = header("1", "T1 Dyn PRE"), header("2", "t1 dyn post_1")


def test_by_description() -> None:
    assert chosen([POST, header("3", "t2 stir pre"), PRE, header("4", "t1 dyn post 2")]) == ("1", "2")
    assert chosen([header("1", "dyn nativ"), header("2", "dyn phase 01"), header("3", "dyn phase 10")]) == (
        "1",
        "2",
    )


def test_what_is_derived_never_counts() -> None:
    derived = header("9", "t1 post 1", image_type=("DERIVED", "SUBTRACTION"))
    report = header("8", "t1 post 1", modality="SR", shape=None)
    assert chosen([PRE, POST, derived, report, header("7", "sub post 1"), header("6", "post 1 MIP")]) == (
        "1",
        "2",
    )


def test_by_temporal_position_within_a_series() -> None:
    # in numeric order: 10 comes after 9
    phases = [header("1", "vibe dyn", acquired=f"t{number}", position=str(number)) for number in (10, 11, 9)]
    assert chosen(phases) == ("t9", "t10")


def test_by_acquisition_time() -> None:
    phases = [header(str(number), "vibe dyn", acquired=f"2024051710{number}500") for number in (3, 1, 2)]
    assert chosen(phases) == ("20240517101500", "20240517102500")


def test_fractions_of_a_second_may_be_written_or_not() -> None:
    times = ("101501.5", "101501", "101500.25")
    phases = [header(time, "vibe dyn", acquired=time) for time in times]
    assert chosen(phases) == ("101500.25", "101501")


@pytest.mark.parametrize(
    ("headers", "code", "said"),
    [
        ([PRE], "MS-X012", "Post_1 is missing"),
        ([POST], "MS-X012", "Pre is missing"),
        ([header("1", "localizer")], "MS-X012", "no rule finds"),
        ([header("1", "vibe dyn", acquired="1")], "MS-X012", "Post_1 is number 2"),
        ([PRE, POST, header("3", "dyn post 1 repeated")], "MS-X013", "2 series could be Post_1"),
        ([header("1", "pre and post 1")], "MS-X013", "both Pre and Post_1"),
        (
            [header(str(number), "vibe dyn", acquired="101500") for number in (1, 2)],
            "MS-X013",
            "is the same in two phases",
        ),
        (
            [header("1", "vibe dyn", acquired="101500"), header("2", "vibe dyn")],
            "MS-X013",
            "is not in every phase",
        ),
        (
            [header("1", "vibe dyn", acquired="20240517101500"), header("2", "vibe dyn", acquired="101600")],
            "MS-X013",
            "not written alike",
        ),
        (
            # one file of a phase is enough: the earliest of them, as text, is not the earliest in time
            [
                header("1", "vibe dyn", acquired="20240517101500"),
                header("1", "vibe dyn", acquired="101500"),
                header("2", "vibe dyn", acquired="20240517101600"),
            ],
            "MS-X013",
            "not written alike",
        ),
        (
            [
                header("1", "vibe dyn", acquired="20241027023000+0200"),
                header("2", "vibe dyn", acquired="20241027020500+0100"),
            ],
            "MS-X013",
            "not written alike",
        ),
    ],
)
def test_what_is_missing_or_ambiguous_is_an_error(headers: list[Header], code: str, said: str) -> None:
    with pytest.raises(CaseError, match=said) as caught:
        chosen(headers)
    assert caught.value.code == code
    # a description may hold anything: it is shown only when asked for
    assert headers[0].description not in caught.value.describe()
    assert code == "MS-X012" or headers[-1].description in caught.value.detail


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("select: [", "MS-X003", "line"),
        ("- a", "MS-X004", "mapping"),
        ("modalty: [MR]\nselect: []", "MS-X004", "modalty"),
        ("select: []", "MS-X004", "select"),
        ("select:\n  - {by: description, pre: '(', post_1: b}", "MS-X004", "regular expression"),
        ("select:\n  - {by: acquisition_time, description: a, pre: 2, post_1: 2}", "MS-X004", "before"),
    ],
)
def test_a_wrong_rule_file_is_named(tmp_path: Path, text: str, code: str, said: str) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        load_rules(file)
    assert caught.value.code == code
    assert "rules.yml" in caught.value.describe()
    assert said == "line" or said in caught.value.describe()


@pytest.mark.parametrize("name", ["nowhere.yml", "."])
def test_the_repair_of_a_rule_file_that_is_none_is_to_name_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        load_rules(tmp_path / name)
    assert caught.value.code == "MS-X003"
    assert "Give --rules a file" in caught.value.repair


def test_rules_of_a_site(
    make_site: Callable[..., Path], outcome: Callable[..., object], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yml"
    file.write_text("select:\n  - {by: description, pre: 'dyn pre', post_1: 'post 1'}\n")
    assert outcome(make_site(), rules=file).status == "prepared"  # type: ignore[attr-defined]
