"""The table of error codes and the code that uses them name the same codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mediswarm.error_codes import ERROR_CODES

CODE = re.compile(r"MS-[A-Z]\d{3}")


def _sources(root: Path) -> Iterator[Path]:
    for file in sorted((root / "application" / "mediswarm").rglob("*.py")):
        if file.parent.name != "error_codes":
            yield file


def test_every_code_in_the_source_is_in_the_table(root: Path) -> None:
    pages = [
        root / "README.md",
        *(root / "docs").rglob("*.md"),
        *(root / "application" / "jobs").rglob("*.md"),
    ]
    named = {
        (code, file.name)
        for file in [*_sources(root), *pages]
        for code in CODE.findall(file.read_text(encoding="utf-8"))
    }
    assert {(code, file) for code, file in named if code not in ERROR_CODES} == set()


def test_every_code_in_the_table_is_used(root: Path) -> None:
    # a text that is nothing but the code: docstrings, which only speak of a code, do not count
    used = {
        node.value
        for file in _sources(root)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }
    scripts = (root / "application" / "mediswarm").rglob("*.sh")
    used |= {code for file in scripts for code in CODE.findall(file.read_text(encoding="utf-8"))}
    assert sorted(ERROR_CODES.keys() - used) == []


def test_every_code_says_what_and_what_to_do() -> None:
    for code, entry in ERROR_CODES.items():
        assert CODE.fullmatch(code)
        assert entry.title.strip(), code
        assert entry.resolve.endswith("."), f"{code}: what to do is a sentence"
