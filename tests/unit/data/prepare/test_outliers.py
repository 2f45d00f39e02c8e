"""What is marked on the page of quality control, and what is not."""

from __future__ import annotations

from mediswarm.data.prepare.manifest import Acquired, Manifest, PreparedBreast
from mediswarm.data.prepare.outliers import unusual


def manifest(
    case: str, bright: float = 100.0, spacing: float = 1.0, slices: int = 40, **breast: float
) -> Manifest:
    def phase(count: int, copies: int = 0) -> Acquired:
        return Acquired(
            size=(64, 64, count),
            spacing_mm=(spacing, spacing, 2.0),
            oblique_degrees=0.0,
            slices_sha256=(),
            identical_copies_left_out=copies,
        )

    values = {"covered": 1.0, "percentile_99_5": bright, "mean": 4.0, "deviation": bright / 3} | breast
    return Manifest(
        case=case,
        preprocessing="tag",
        mediswarm="0",
        parameters={},
        inputs={"Post_1": phase(40), "Pre": phase(slices, copies=int(case == "copies"))},
        other_files=0,
        breasts={f"{case}_left": PreparedBreast(files={}, **values)},
    )


USUAL = [manifest(f"C{number}", bright=90 + 3 * number) for number in range(10)]


def test_the_usual_is_not_marked() -> None:
    assert unusual(USUAL) == {}


def test_what_is_unlike_the_others_is_marked() -> None:
    marked = unusual([*USUAL, manifest("dark", bright=5), manifest("fine", spacing=0.3)])
    assert marked.keys() == {"dark_left", "fine_left"}
    assert "brightness (percentile 99.5) 5 is far below the others" in marked["dark_left"]
    assert marked["fine_left"] == ["pixel spacing 0.3 is far below the others"]


def test_what_is_unlikely_by_itself_is_marked_without_others() -> None:
    marked = unusual(
        [
            manifest("swapped", mean=-1.0),
            manifest("half", covered=0.5),
            manifest("short", slices=39),
            manifest("copies"),
        ]
    )
    assert "swapped?" in marked["swapped_left"][0]
    assert "50% of it" in marked["half_left"][0]
    assert "acquired differently" in marked["short_left"][0]
    assert marked["copies_left"] == ["Pre: identical copies of files were left out: 1"]
    # too few to know what is usual
    assert unusual([*USUAL[:3], manifest("dark", bright=5)]) == {}
