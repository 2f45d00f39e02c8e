"""Every command, argument and option explains itself and stands in docs/cli.md."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

NAMED = re.compile(r"(?:`|\$ )mediswarm ([a-z]+)(?: ([a-z]+))?")


def test_commands_and_options_have_help_and_are_documented(generator: Any, root: Path) -> None:
    page = importlib.import_module("reference.cli_page")
    sections = {
        section.partition("\n")[0]: section
        for section in (root / "docs" / "cli.md").read_text(encoding="utf-8").split("\n## ")[1:]
    }
    found = dict(page.commands())
    assert sections.keys() == found.keys()
    for name, command in found.items():
        assert command.help, f"{name} has no help"
        assert command.help in sections[name]
        for typed, parameter in page.parameters(command):
            assert parameter.help, f"{name} {typed} has no help"
            assert f"`{typed}`" in sections[name]


def test_the_commands_that_guides_name_exist(generator: Any, root: Path) -> None:
    names = dict(importlib.import_module("reference.cli_page").commands())
    guides = [
        root / "README.md",
        *(root / "docs").rglob("*.md"),
        *(root / "application" / "jobs").rglob("*.md"),
    ]
    named = {
        f"mediswarm {group} {command}" if group == "job" else f"mediswarm {group}"
        for guide in guides
        for group, command in NAMED.findall(guide.read_text(encoding="utf-8"))
    }
    assert named
    assert named - names.keys() == set()
