"""Building an image: first one of the dependencies, kept for as long as the lock is; on it the package."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound

import mediswarm
from mediswarm.errors import ImageError, UsageError
from mediswarm.provision.image_context import (
    RECIPES,
    dependency_files,
    package_files,
    wheel_files,
    write_context,
)

ROOT = Path(mediswarm.__file__).resolve().parents[2]
"""The checkout; in an image there is none."""

_BASE = "base"
_DEPENDENCIES = "mediswarm/dependencies"
_LINES_SHOWN = 15
_KEY = 12

Watch = Callable[[str], None]


def _unwatched(_line: str) -> None:
    """Nobody looks at the build."""


@dataclass(frozen=True)
class BuiltImage:
    """What a federation file may name: `tag` on this machine, `id` anywhere that image is loaded."""

    name: str
    tag: str
    id: str
    bytes: int
    seconds: float


def recipes(root: Path = ROOT) -> list[str]:
    """Names of the images that can be built."""
    found = (file.name.removeprefix("Dockerfile_") for file in (root / RECIPES).glob("Dockerfile_*"))
    return sorted(name for name in found if name != _BASE)


def build_image(
    client: DockerClient,
    name: str,
    *,
    base: str | None = None,
    wheels: Path | None = None,
    tag: str | None = None,
    watch: Watch = _unwatched,
    root: Path = ROOT,
) -> BuiltImage:
    """Build `docker_config/Dockerfile_NAME`.

    Args:
        client: the engine.
        name: cifar10, ODELIA or STAMP, in any case.
        base: the image with Python to build on, best by digest; the recipe's own if left out.
        wheels: a folder with every wheel of the lock, so that nothing is downloaded.
        tag: the image's name and tag; `mediswarm/NAME:VERSION` if left out.
        watch: is told each line of the build.
        root: the checkout.

    Raises:
        ImageError: MS-I002 for a name without recipe, MS-I003 when a step fails.
        UsageError: MS-U001 when the folder of wheels is none.
    """
    begun = time.monotonic()
    known = {recipe.lower(): recipe for recipe in recipes(root)}
    if name.lower() not in known:
        there = ", ".join(known.values()) or "none"
        raise ImageError("MS-I002", f"there is no image {name!r}; those that can be built are {there}")
    if wheels is not None and not (wheels.is_dir() and wheel_files(wheels)):
        raise UsageError("MS-U001", "this folder holds no wheels", file=wheels)
    recipe = f"{RECIPES}/Dockerfile_{known[name.lower()]}"
    base = base or _default_base(root)
    tag = tag or f"mediswarm/{name.lower()}:{mediswarm.__version__}"
    arguments = {
        "DEPENDENCIES": _dependencies(client, base, wheels, watch, root),
        "BASE_IMAGE": base,
        "VERSION": mediswarm.__version__,
        "REVISION": revision(root),
    }
    _build(client, package_files(root, recipe), recipe, tag, arguments, watch)
    image = client.images.get(tag)
    return BuiltImage(known[name.lower()], tag, image.id, image.attrs["Size"], time.monotonic() - begun)


def revision(root: Path) -> str:
    """The commit of the checkout, with `-dirty` if files differ from it; `unknown` without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(  # noqa: S603 - fixed words
            ["git", "-C", str(root), *arguments],  # noqa: S607 - git is where the account has it
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _default_base(root: Path) -> str:
    text = (root / RECIPES / f"Dockerfile_{_BASE}").read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", text, re.MULTILINE)
    return str(base)


def _dependencies(client: DockerClient, base: str, wheels: Path | None, watch: Watch, root: Path) -> str:
    """The image with the locked packages on this base, built unless the same was built before."""
    files = list(dependency_files(root, wheels))
    tag = dependencies_tag(client, base, files)
    try:
        client.images.get(tag)
    except ImageNotFound:
        arguments = {"BASE_IMAGE": base} | ({"PIP_NO_INDEX": "1"} if wheels else {})
        _build(client, files, f"{RECIPES}/Dockerfile_{_BASE}", tag, arguments, watch)
    return tag


def dependencies_tag(client: DockerClient, base: str, files: Iterable[tuple[str, Path]]) -> str:
    """A name that changes with the base, the recipe, the lock and the builds among the wheels."""
    key = hashlib.sha256(_identity(client, base).encode())
    for name, file in files:
        # a wheel's bytes are held by the lock; its name says which of several builds it is
        key.update(file.read_bytes() if name.startswith(RECIPES) else name.encode())
    return f"{_DEPENDENCIES}:{key.hexdigest()[:_KEY]}"


def _identity(client: DockerClient, image: str) -> str:
    try:
        return str(client.images.get(image).id)
    except ImageNotFound:
        return image


def _build(
    client: DockerClient,
    files: Iterable[tuple[str, Path]],
    dockerfile: str,
    tag: str,
    arguments: dict[str, str],
    watch: Watch,
) -> None:
    said: deque[str] = deque(maxlen=_LINES_SHOWN)
    problem = ""
    with tempfile.TemporaryFile() as context:
        write_context(files, context)
        context.seek(0)
        try:
            answers = client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile=dockerfile,
                tag=tag,
                buildargs=arguments,
                rm=True,
                forcerm=True,
                decode=True,
                use_config_proxy=True,
            )
            for answer in answers:
                for line in answer.get("stream", "").splitlines():
                    if line.strip():
                        said.append(line)
                        watch(line)
                # read to the end all the same: an answer left half-read keeps its connection
                problem = answer.get("error", problem)
        except APIError as error:
            raise _failed(dockerfile, error.explanation or str(error), said) from error
        except DockerException as error:
            raise _failed(dockerfile, str(error), said) from error
    if problem:
        raise _failed(dockerfile, problem, said)


def _failed(dockerfile: str, reason: str, said: Iterable[str]) -> ImageError:
    lines = "".join(f"\n  | {line}" for line in said)
    return ImageError("MS-I003", f"{reason}; the last lines were{lines}", file=dockerfile)
