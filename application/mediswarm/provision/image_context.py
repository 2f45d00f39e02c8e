"""What the engine is given to build from: chosen files, without owners, times or anything of this machine."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

RECIPES = "docker_config"
LOCKS = ("requirements.lock", "requirements-cuda.lock")
_PACKAGE = ("pyproject.toml", "README.md", "LICENSE", f"{RECIPES}/install_package.sh")
_SOURCES = ("application/mediswarm", "application/jobs")


def dependency_files(root: Path, wheels: Path | None) -> Iterator[tuple[str, Path]]:
    """Name in the context and file: the locks, and wheels if pip is to take them instead of downloading."""
    for name in (f"{RECIPES}/Dockerfile_base", *(f"{RECIPES}/{lock}" for lock in LOCKS)):
        yield name, root / name
    for file in wheel_files(wheels) if wheels else ():
        yield f"wheels/{file.name}", file


def wheel_files(folder: Path) -> list[Path]:
    """The wheels and source archives in a folder, sorted by name."""
    return sorted(file for file in folder.iterdir() if file.name.endswith((".whl", ".tar.gz")))


def package_files(root: Path, dockerfile: str) -> Iterator[tuple[str, Path]]:
    """Name in the context and file: the package, its jobs, and the recipe."""
    for name in (*_PACKAGE, dockerfile):
        yield name, root / name
    for source in _SOURCES:
        for file in sorted((root / source).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(root).as_posix(), file


def write_context(files: Iterable[tuple[str, Path]], into: IO[bytes]) -> None:
    """Write the files as a tar archive; same files, same bytes."""
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, file in files:
            archive.add(file, name, filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Readable for every user in the image, whatever the umask here."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry
