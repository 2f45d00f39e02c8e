"""The cifar10 image as built: what it says of itself, and that it runs as hospitals run it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

import mediswarm
from mediswarm.errors import ImageError
from mediswarm.provision.image_build import build_image, revision
from mediswarm.provision.image_inspect import BILL, LICENCES, images_here, list_inside

ROOT = Path(__file__).resolve().parents[2]
HARDENED = [
    *("docker", "run", "--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--network", "none", "--pids-limit", "512", "--tmpfs", "/tmp"),  # noqa: S108 - the container's own
]


@pytest.fixture
def labels(engine: DockerClient, image: str) -> dict[str, str]:
    return dict(engine.images.get(image).labels)


def _run(image: str, *arguments: str, user: str = "12345:12345", entry: str | None = None) -> Any:
    entry_point = ["--entrypoint", entry] if entry else []
    return subprocess.run(
        [*HARDENED, "--user", user, *entry_point, image, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_runs_as_a_node_of_no_account_and_says_its_health(engine: DockerClient, image: str) -> None:
    config = engine.images.get(image).attrs["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["mediswarm"]
    assert config["Cmd"] == ["node", "run", "--kit", "/kit", "--scratch", "/scratch", "--data", "/data"]
    assert config["Healthcheck"]["Test"] == ["CMD", "mediswarm", "node", "health", "--scratch", "/scratch"]
    assert not config.get("ExposedPorts")
    assert not config.get("Volumes")


def test_labels_name_version_revision_and_base(labels: dict[str, str], base: str) -> None:
    prefix = "org.opencontainers.image"
    assert labels[f"{prefix}.title"] == "MediSwarm"
    assert labels[f"{prefix}.version"] == mediswarm.__version__
    assert labels[f"{prefix}.revision"].removesuffix("-dirty") == revision(ROOT).removesuffix("-dirty")
    assert labels[f"{prefix}.licenses"] == "MIT"
    assert labels[f"{prefix}.base.name"] == base


def test_bill_of_materials_inside_names_what_is_installed(engine: DockerClient, image: str) -> None:
    document = list_inside(engine, image, BILL)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    purls = {entry["purl"].rsplit("@", 1)[0] for entry in document["components"]}
    assert {"pkg:pypi/torch", "pkg:pypi/nvflare", "pkg:deb/debian/libc6"} <= purls


def test_only_the_locked_runtime_is_installed(engine: DockerClient, image: str) -> None:
    lock = (ROOT / "docker_config" / "requirements.lock").read_text()
    python = {
        (entry["name"], entry["version"].split("+")[0])
        for entry in list_inside(engine, image, LICENCES)
        if entry["kind"] == "python" and entry["name"] != "mediswarm"
    }
    assert python
    assert {name for name, version in python if f"\n{name}=={version}" not in lock} == set()
    assert not {"pip", "pytest", "ruff", "mypy"} & {name for name, _ in python}


def test_licences_can_be_listed_from_outside_and_inside(image: str) -> None:
    outside = subprocess.run(
        ["mediswarm", "image", "licenses", image, "--json"], capture_output=True, text=True, check=True
    )
    inside = _run(image, "image", "licenses", "--json")
    assert inside.returncode == 0, inside.stderr
    assert json.loads(outside.stdout) == json.loads(inside.stdout)


def test_image_is_listed_with_the_id_that_a_federation_file_may_name(
    engine: DockerClient, image: str
) -> None:
    (entry,) = [entry for entry in images_here(engine) if image in entry["tags"]]
    assert entry["id"] == engine.images.get(image).id
    assert entry["version"] == mediswarm.__version__


@pytest.mark.parametrize("user", ["10001:10001", "12345:12345"])
def test_smoke_job_trains_as_any_user_on_a_read_only_root(image: str, user: str) -> None:
    ended = _run(image, "simulate", "minimal_training_pytorch_cnn", "--sites", "a,b", "--json", user=user)
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout)
    assert record["state"] == "succeeded"


def test_a_container_that_is_no_node_is_not_healthy(image: str) -> None:
    assert _run(image, "node", "health", "--scratch", "/scratch").returncode != 0


def test_image_has_no_compiler_no_pip_and_no_program_that_gains_rights(image: str) -> None:
    script = (
        "for tool in gcc cc make pip pip3 debootstrap; do command -v $tool; done; "
        "find / -xdev -type f -perm /6000; find /opt /usr/share/mediswarm -xdev -perm /0002 ! -type l"
    )
    found = _run(image, "-c", script, entry="sh", user="0:0")
    assert found.stdout == ""


@pytest.fixture
def broken_checkout(tmp_path: Path, base: str) -> Iterator[Path]:
    recipes = tmp_path / "docker_config"
    recipes.mkdir()
    for name in ("requirements.lock", "requirements-cuda.lock"):
        (recipes / name).touch()
    (recipes / "Dockerfile_base").write_text(
        f"ARG BASE_IMAGE={base}\nFROM ${{BASE_IMAGE}}\nRUN echo why && exit 7\n"
    )
    (recipes / "Dockerfile_cifar10").write_text("FROM scratch\n")
    return tmp_path


def test_failed_build_names_the_recipe_and_shows_the_last_lines(
    engine: DockerClient, broken_checkout: Path
) -> None:
    with pytest.raises(ImageError, match="why") as caught:
        build_image(engine, "cifar10", root=broken_checkout)
    assert caught.value.code == "MS-I003"
    assert caught.value.file == "docker_config/Dockerfile_base"
    assert "7" in caught.value.message
