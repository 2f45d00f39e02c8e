"""The manifest of a startup kit, `kit.json`: whose it is, of which generation, and what is in it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from mediswarm.errors import KitError
from mediswarm.spec.digest import sha256_of_file
from mediswarm.spec.strict import Strict

MANIFEST = "kit.json"
ALLOWED_CLASSES = ("mediswarm.flare.",)
"""The only classes that a job without code may name, at sites and server; they take names and numbers."""
WARN_DAYS = 60
"""From so many days before its end a certificate is warned of."""
Role = Literal["server", "site", "admin"]


class ServerAddress(Strict):
    """Where the federation's server is reached."""

    name: str = Field(description="DNS name or address; also the name on its certificate")
    port: int = Field(8002, gt=0, lt=65536, description="port of the federation")
    admin_port: int = Field(8002, gt=0, lt=65536, description="port for admins; may be the same")


class Kit(Strict):
    """What `kit.json` says. The kit's folder also holds docker.sh, startup/ and local/."""

    format: Literal[1] = 1
    federation: str = Field(description="the federation's name")
    generation: str = Field(description="first 12 hex digits of the SHA-256 of the root certificate (DER)")
    name: str = Field(description="the participant's name, as on its certificate")
    role: Role = Field(description="what the kit is for")
    organisation: str = Field(description="who the participant belongs to")
    server: ServerAddress = Field(description="where the server is reached")
    sites: tuple[str, ...] = Field(
        (), description="admin kits: the federation's sites, when the kit was made"
    )
    image: str = Field(description="the image to run, by tag or digest")
    image_digest: str | None = Field(None, description="sha256:… of the image, where it was known")
    created: datetime = Field(description="when the kit was made (UTC)")
    expires: datetime = Field(description="when the participant's certificate ends (UTC)")
    files: dict[str, str] = Field(description="SHA-256 of every other file of the kit, by relative path")


def load_kit(folder: Path) -> Kit:
    """Read a kit's manifest.

    Raises:
        KitError: MS-K001 when there is none, or it cannot be read.
    """
    file = folder / MANIFEST
    try:
        return Kit.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise KitError("MS-K001", "this folder is no startup kit: it has no kit.json", file=file) from error
    except (OSError, ValueError, ValidationError) as error:
        raise KitError("MS-K001", "the kit's manifest cannot be read", file=file) from error


def verify_kit(folder: Path) -> Kit:
    """Read the manifest and compare every file with it (R22).

    Raises:
        KitError: MS-K001 as :func:`load_kit`; MS-K002 naming a file that is missing or was changed; MS-K024
            naming one that this account may not read.
    """
    kit = load_kit(folder)
    for name, digest in sorted(kit.files.items()):
        file = folder / name
        try:
            found = sha256_of_file(file) if file.is_file() else None
        except OSError as error:
            raise KitError(
                "MS-K024",
                f"a file of the startup kit cannot be read: {error.strerror}",
                repair="Let the account that this runs as read the whole kit.",
                file=file,
            ) from error
        if found is None:
            raise KitError("MS-K002", "a file of the startup kit is missing", file=file)
        if found != digest:
            raise KitError("MS-K002", "a file of the startup kit was changed after it was made", file=file)
    return kit


def expires_within(kit: Kit, seconds: float) -> bool:
    """Whether the participant's certificate ends within so many seconds from now, or has ended."""
    return kit.expires <= datetime.now(timezone.utc) + timedelta(seconds=seconds)


def kits_in(folder: Path) -> list[Kit]:
    """The manifests of the kits below `folder` (or of the kit that it is), ordered by role and name.

    Raises:
        KitError: MS-K001 when there is none, or one cannot be read.
    """
    if (folder / MANIFEST).is_file():
        return [load_kit(folder)]
    # `mediswarm provision` makes DIR/kits/NAME: DIR is meant as well
    found = sorted([*folder.glob(f"*/{MANIFEST}"), *folder.glob(f"kits/*/{MANIFEST}")])
    if not found:
        raise KitError("MS-K001", "there is no startup kit in this folder", file=folder)
    order = ("server", "site", "admin")
    return sorted(
        (load_kit(file.parent) for file in found), key=lambda kit: (order.index(kit.role), kit.name)
    )
