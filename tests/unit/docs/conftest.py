"""Fixtures for the tests of the documentation."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parents[3]


@pytest.fixture
def generator(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module scripts/build/generate_docs.py."""
    monkeypatch.syspath_prepend(str(root / "scripts" / "build"))
    return importlib.import_module("generate_docs")
