"""Links between documents lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
HIDDEN = re.compile(r"```.*?```", re.DOTALL)


def _documents(root: Path) -> Iterator[Path]:
    for top in sorted(root.iterdir()):
        if top.name.startswith("."):
            continue
        yield from sorted(top.rglob("*.md")) if top.is_dir() else [top] * (top.suffix == ".md")


def _anchors(file: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", HIDDEN.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_relative_links_lead_to_files_and_headings(root: Path) -> None:
    broken = []
    for file in _documents(root):
        for target in LINK.findall(HIDDEN.sub("", file.read_text(encoding="utf-8"))):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            there = (file.parent / path).resolve() if path else file
            if not there.exists() or (anchor and anchor not in _anchors(there)):
                broken.append(f"{file.relative_to(root)}: {target}")
    assert broken == []


def test_documents_do_not_name_paths_of_one_machine(root: Path) -> None:
    local = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/")
    assert [str(file) for file in _documents(root) if local.search(file.read_text(encoding="utf-8"))] == []
