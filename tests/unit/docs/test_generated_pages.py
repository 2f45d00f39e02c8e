"""What is generated from the code is up to date, and a page that is not is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest


def test_pages_are_up_to_date(
    generator: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["generate_docs.py", "--check"])
    code = generator.main()
    assert code == 0, capsys.readouterr().out


def test_a_stale_page_is_named_and_then_mended(
    generator: Any,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    docs = Path(shutil.copytree(root / "docs", tmp_path / "docs"))
    (docs / "errors.md").write_text("# Errors\n", encoding="utf-8")
    (docs / "cli.md").unlink()
    monkeypatch.setattr(generator, "DOCS", docs)

    monkeypatch.setattr("sys.argv", ["generate_docs.py", "--check"])
    assert generator.main() == 1
    assert "errors.md, cli.md" in capsys.readouterr().err
    assert (docs / "errors.md").read_text(encoding="utf-8") == "# Errors\n"

    monkeypatch.setattr("sys.argv", ["generate_docs.py"])
    assert generator.main() == 0
    assert (docs / "errors.md").read_bytes() == (root / "docs" / "errors.md").read_bytes()
    assert (docs / "cli.md").is_file()
