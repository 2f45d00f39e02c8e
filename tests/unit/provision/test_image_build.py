"""What an image is built from, and the errors of building, without an engine."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any, cast

import docker.errors
import pytest

from mediswarm.errors import ImageError, UsageError
from mediswarm.provision.image_build import ROOT, build_image, dependencies_tag, recipes, revision
from mediswarm.provision.image_context import dependency_files, package_files, write_context
from mediswarm.provision.image_engine import docker_engine


class _Engine:
    """Stands for an engine that knows images by name, and for nothing else of it."""

    def __init__(self, **ids: str) -> None:
        self.images = self
        self._ids = ids

    def get(self, name: str) -> Any:
        if name not in self._ids:
            raise docker.errors.ImageNotFound("none")
        return type("Image", (), {"id": self._ids[name]})


def _archive(files: list[tuple[str, Path]]) -> bytes:
    into = io.BytesIO()
    write_context(files, into)
    return into.getvalue()


def test_context_holds_the_package_and_nothing_of_this_machine() -> None:
    names = {name for name, _ in package_files(ROOT, "docker_config/Dockerfile_cifar10")}
    assert "application/mediswarm/cli/app.py" in names
    assert "application/jobs/minimal_training_pytorch_cnn/job.yml" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"application", "docker_config", "pyproject.toml", "README.md", "LICENSE"}
    assert not {name for name in names if "__pycache__" in name or "test" in name.split("/")}


def test_context_has_no_owner_no_time_and_is_readable_for_all(tmp_path: Path) -> None:
    program, secret = tmp_path / "program.sh", tmp_path / "umask.py"
    program.write_text("#!/bin/sh\n")
    secret.write_text("")
    program.chmod(0o700)
    secret.chmod(0o600)
    with tarfile.open(fileobj=io.BytesIO(_archive([("a", program), ("b", secret)]))) as archive:
        entries = archive.getmembers()
    assert [oct(entry.mode) for entry in entries] == ["0o755", "0o644"]
    assert {(entry.uid, entry.gid, entry.mtime, entry.uname, entry.gname) for entry in entries} == {
        (0, 0, 0, "", "")
    }


def test_same_files_give_the_same_context(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x")
    first = hashlib.sha256(_archive([("a.py", file)])).hexdigest()
    file.touch()
    assert hashlib.sha256(_archive([("a.py", file)])).hexdigest() == first


def test_every_dockerfile_can_be_built_but_the_base() -> None:
    assert set(recipes()) == {"cifar10", "ODELIA", "STAMP"}


def test_every_file_that_a_recipe_copies_is_in_its_context() -> None:
    for name in recipes():
        recipe = f"docker_config/Dockerfile_{name}"
        there = {file for file, _ in package_files(ROOT, recipe)}
        lines = (ROOT / recipe).read_text().splitlines()
        copied = [
            word
            for line in lines
            if line.startswith("COPY ") and "--from" not in line
            for word in line.split()[1:-1]
        ]
        assert copied
        for word in copied:
            assert any(file == word or file.startswith(f"{word}/") for file in there), word


def test_dependencies_are_kept_until_lock_base_or_build_of_torch_change(tmp_path: Path) -> None:
    engine = cast("Any", _Engine(base="sha256:1", other="sha256:2"))
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "torch-2.13.0-cp311.whl").touch()
    root = tmp_path / "checkout"
    (root / "docker_config").mkdir(parents=True)
    for name in ("Dockerfile_base", "requirements.lock", "requirements-cuda.lock"):
        (root / "docker_config" / name).write_text(name)

    def tag(base: str = "base", folder: Path | None = wheels) -> str:
        return dependencies_tag(engine, base, list(dependency_files(root, folder)))

    first = tag()
    assert tag() == first
    assert tag(base="other") != first
    assert tag(folder=None) != first
    (wheels / "torch-2.13.0-cp311.whl").rename(wheels / "torch-2.13.0+cpu-cp311.whl")
    assert tag() != first
    (wheels / "torch-2.13.0+cpu-cp311.whl").rename(wheels / "torch-2.13.0-cp311.whl")
    (root / "docker_config" / "requirements.lock").write_text("another")
    assert tag() != first


def test_name_without_recipe_is_an_error_that_names_the_others() -> None:
    with pytest.raises(ImageError, match="cifar10") as caught:
        build_image(cast("Any", _Engine()), "resnet")
    assert caught.value.code == "MS-I002"


@pytest.mark.parametrize("exists", [True, False])
def test_folder_without_wheels_is_an_error(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "wheels"
    if exists:
        folder.mkdir()
    with pytest.raises(UsageError) as caught:
        build_image(cast("Any", _Engine()), "cifar10", wheels=folder)
    assert caught.value.code == "MS-U001"


def test_no_engine_is_an_error_with_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ImageError) as caught, docker_engine():
        pass
    assert caught.value.code == "MS-I001"


def test_revision_says_when_files_differ_from_the_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert revision(tmp_path) == "unknown"
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    clean = revision(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("2")
    assert revision(tmp_path) == f"{clean}-dirty"
