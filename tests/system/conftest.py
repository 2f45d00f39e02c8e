"""Tests on a real Docker engine: one engine and one image for all of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from mediswarm.provision.image_engine import docker_engine

ROOT = Path(__file__).resolve().parents[2]
BASE = "mediswarm/ci-base:bookworm"
_HERE = Path(__file__).parent
_NO_ENGINE = 3
_SECONDS = 1500
"""The first test waits until everything is built, on a slow machine from nothing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(_SECONDS))


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """The engine of this machine, started if need be."""
    started = subprocess.run(
        [ROOT / "scripts/ci/engine.sh"], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if started.returncode == _NO_ENGINE and os.environ.get("MEDISWARM_NO_ENGINE") == "1":
        pytest.skip(f"{started.stderr.strip()} (and MEDISWARM_NO_ENGINE=1 allows that)")
    if started.returncode:
        pytest.fail(
            f"{started.stderr.strip()}\nThe system tests need a Docker engine. Where there can be none, "
            "MEDISWARM_NO_ENGINE=1 skips them; the same scenarios then run on processes only."
        )
    with docker_engine() as client:
        yield client


@pytest.fixture(scope="session")
def wheels() -> Path:
    """A folder with the wheels of the lock, kept between runs."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mediswarm" / "wheels"
    subprocess.run([ROOT / "scripts/ci/wheels.sh", folder], check=True, timeout=_SECONDS)
    return folder


@pytest.fixture(scope="session")
def base(engine: DockerClient) -> str:
    """The base image, made from Debian's packages."""
    subprocess.run([ROOT / "scripts/ci/base_image.sh", BASE], check=True, timeout=_SECONDS)
    return BASE


@pytest.fixture(scope="session")
def image(base: str, wheels: Path) -> str:
    """The cifar10 image of this checkout, by its tag."""
    command = ["mediswarm", "image", "build", "cifar10", "--base", base, "--wheels", str(wheels), "--json"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_SECONDS)
    assert built.returncode == 0, built.stderr
    return str(json.loads(built.stdout)["tag"])
