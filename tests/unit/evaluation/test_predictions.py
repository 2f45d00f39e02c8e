from collections.abc import Callable
from pathlib import Path

import pytest

from mediswarm.errors import DataError
from mediswarm.evaluation import compare_predictions
from mediswarm.evaluation.predictions import read_predictions

CLASSES = ("none", "benign", "malignant")
Write = Callable[..., Path]
GOOD = "a,0,0.5,0.3,0.2"


def _refused(path: Path, code: str, said: str, line: int | None = None) -> None:
    with pytest.raises(DataError) as caught:
        read_predictions(path, CLASSES)
    error = caught.value
    assert error.code == code
    assert said in error.message
    assert error.file == str(path)
    assert error.line == line
    assert error.repair
    assert "hint: " in error.describe()


def test_reads_what_a_site_writes(write_rows: Write) -> None:
    table = read_predictions(write_rows(GOOD, "b,2,0.1,0.2,0.700001"), CLASSES)
    assert table.cases == ("a", "b")
    assert table.targets.tolist() == [0, 2]
    assert table.probabilities.tolist() == [[0.5, 0.3, 0.2], [0.1, 0.2, 0.700001]]
    assert "case" not in repr(table).replace("cases", "")


def test_a_site_without_test_cases_is_legal(write_rows: Write) -> None:
    assert read_predictions(write_rows(), CLASSES).probabilities.shape == (0, 3)


def test_byte_order_mark_and_blank_lines_are_read_over(write_rows: Write) -> None:
    path = write_rows(GOOD, "", "b,1,0.2,0.2,0.9")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    _refused(path, "MS-E003", "1 of 2 rows have probabilities that do not sum to 1", 4)


def test_missing_file(tmp_path: Path) -> None:
    _refused(tmp_path / "test.csv", "MS-E001", "no such predictions file")


@pytest.mark.parametrize("content", [b"case,target\xff\xfe", b'case,"target\n'])
def test_unreadable_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "test.csv"
    path.write_bytes(content)
    _refused(path, "MS-E001", "not readable CSV")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.touch()
    _refused(path, "MS-E001", "empty")


def test_classes_in_another_order(write_rows: Write) -> None:
    path = write_rows(GOOD, header="case,target,p_benign,p_none,p_malignant")
    _refused(path, "MS-E002", "p_none, p_benign, p_malignant", 1)


def test_a_file_without_header_does_not_spill_its_first_case(write_rows: Write) -> None:
    path = write_rows(GOOD, header="patient-17,0,0.5,0.3,0.2")
    _refused(path, "MS-E002", "no column names", 1)
    with pytest.raises(DataError) as caught:
        read_predictions(path, CLASSES)
    assert "patient-17" not in caught.value.describe()


def test_short_row(write_rows: Write) -> None:
    _refused(write_rows(GOOD, "b,1,0.2"), "MS-E002", "3 cells instead of 5", 3)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("b,1,high,0.2,0.8", "not a number"),
        ("b,1,nan,0.2,0.8", "not in [0, 1]"),
        ("b,1,inf,0.2,0.8", "not in [0, 1]"),
        ("b,1,-0.1,0.3,0.8", "not in [0, 1]"),
        ("b,1,0.5,0.2,0.8", "do not sum to 1"),
    ],
)
def test_what_is_no_probability(write_rows: Write, row: str, said: str) -> None:
    _refused(write_rows(GOOD, row), "MS-E003", said, 3)


@pytest.mark.parametrize("target", ["3", "-1", "1.0", "benign", "", "²"])
def test_target_that_is_no_class_index(write_rows: Write, target: str) -> None:
    _refused(write_rows(GOOD, f"b,{target},0.5,0.3,0.2"), "MS-E004", "class index from 0 to 2", 3)


def test_a_case_twice(write_rows: Write) -> None:
    _refused(write_rows(GOOD, "b,1,0.5,0.3,0.2", GOOD, GOOD), "MS-E005", "2 of 4 rows", 4)


def test_comparison_refuses_other_cases(write_rows: Write) -> None:
    local = write_rows(GOOD, "b,1,0.5,0.3,0.2", name="local.csv")
    federated = write_rows(GOOD, "c,1,0.5,0.3,0.2", name="federated.csv")
    with pytest.raises(DataError, match="2 cases are in only one") as caught:
        compare_predictions(local, federated, "north", CLASSES)
    assert (caught.value.code, caught.value.file) == ("MS-E006", str(federated))
    assert str(local) in caught.value.message


def test_comparison_refuses_other_targets(write_rows: Write) -> None:
    local = write_rows(GOOD, "b,1,0.5,0.3,0.2", name="local.csv")
    federated = write_rows(GOOD, "b,2,0.5,0.3,0.2", name="federated.csv")
    with pytest.raises(DataError, match="1 cases have another target") as caught:
        compare_predictions(local, federated, "north", CLASSES)
    assert caught.value.code == "MS-E006"


def test_comparison_matches_cases_whatever_their_order(write_predictions: Callable[..., Path]) -> None:
    local = write_predictions("local.csv", (12, 12, 12), 0.5)
    federated = write_predictions("federated.csv", (12, 12, 12), 2.0)
    header, *rows = federated.read_text().splitlines()
    before = compare_predictions(local, federated, "north", CLASSES)
    federated.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert compare_predictions(local, federated, "north", CLASSES) == before
    assert before is not None
    assert before.low is not None
    assert 0 < before.low < before.value
