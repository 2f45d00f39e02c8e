import io
import json
import re

import pytest
from rich.console import Console

from mediswarm.data.findings import Finding
from mediswarm.preflight.board import as_dict, board, exit_code, show_board

PASSED = Finding.passed("tables", "2 tables")
WARNED = Finding(
    "WARN", "duplicates", "2 images", "MS-D119", "Remove the copies.", cases=("case-1", "case-2")
)
FAILED = Finding("FAIL", "splits", "1 patient", "MS-D110", "Move it.", "split.csv:7", ("case-3",))
FINDINGS = (PASSED, WARNED, FAILED)


def _shown(show_cases: bool = False, findings: tuple[Finding, ...] = FINDINGS) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100, color_system=None).print(board(findings, "demo at north", show_cases))
    return stream.getvalue()


def test_board_is_readable_without_colour() -> None:
    shown = _shown()
    assert "\x1b" not in shown
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0] == "demo at north"
    assert lines[1] == "PASS  tables      2 tables"
    assert lines[2] == "WARN  duplicates  2 images  [MS-D119]"
    assert lines[3].strip() == "hint: Remove the copies."
    assert lines[4] == "FAIL  splits      1 patient  [MS-D110]"
    assert lines[5].strip() == "in split.csv:7"
    assert lines[-1] == "1 passed, 1 warning, 1 failed"


def test_case_ids_are_shown_only_when_asked_for() -> None:
    assert "case-" not in _shown()
    assert "case-1, case-2" in _shown(show_cases=True)
    assert "case-" not in json.dumps(as_dict(FINDINGS, "demo"))
    assert as_dict(FINDINGS, "demo", show_cases=True)["findings"][2]["cases"] == ["case-3"]


def test_a_long_list_of_cases_is_cut_on_the_board_and_whole_in_json() -> None:
    many = Finding("FAIL", "images", "50 images", "MS-D113", "Add.", cases=tuple(f"c{i}" for i in range(50)))
    assert "c19 and 30 more" in _shown(True, (many,))
    assert len(as_dict((many,), "demo", show_cases=True)["findings"][0]["cases"]) == 50


def test_messages_are_taken_as_they_are() -> None:
    assert "[bold]x[/bold] [/] " in _shown(findings=(Finding.passed("tables", "[bold]x[/bold] [/] y"),))


@pytest.mark.parametrize(
    ("findings", "code", "status"),
    [((PASSED,), 0, "PASS"), ((PASSED, WARNED), 0, "WARN"), (FINDINGS, 4, "FAIL"), ((FAILED,), 4, "FAIL")],
)
def test_exit_code_and_status(findings: tuple[Finding, ...], code: int, status: str) -> None:
    assert exit_code(findings) == code
    assert as_dict(findings, "demo")["status"] == status
    assert as_dict(findings, "demo")["exit_code"] == code


def test_json_is_what_a_script_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_board(FINDINGS, title="demo at north", as_json=True) == 4
    read = json.loads(capsys.readouterr().out)
    assert read["title"] == "demo at north"
    assert read["counts"] == {"PASS": 1, "WARN": 1, "FAIL": 1}
    assert read["findings"][2] == {
        "status": "FAIL",
        "subject": "splits",
        "message": "1 patient",
        "code": "MS-D110",
        "repair": "Move it.",
        "file": "split.csv:7",
    }


def test_board_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_board((PASSED,), title="demo") == 0
    assert "PASS  tables" in capsys.readouterr().out


def test_off_a_terminal_no_path_is_broken_and_no_line_padded(capsys: pytest.CaptureFixture[str]) -> None:
    place = "/data/" + "a-long-folder/" * 20 + "split.csv:7"
    show_board((Finding("FAIL", "splits", "1 patient", "MS-D110", "Move it.", place),), title="demo")
    lines = capsys.readouterr().out.split("\n")
    assert lines[2].strip() == f"in {place}"
    assert lines == [line.rstrip() for line in lines]


def test_on_a_terminal_lines_keep_to_its_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    show_board((Finding("FAIL", "splits", "word " * 40, "MS-D110", "Move it."),), title="demo")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, shown.split("\n"))) <= 60
