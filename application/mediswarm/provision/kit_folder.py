"""A startup kit's folder and archive, from what NVFlare's builders wrote for a participant."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from shlex import quote
from string import Template

from mediswarm.spec.digest import sha256_of_file
from mediswarm.spec.kit import MANIFEST, Kit

SETTINGS = "kit.env"
"""What docker.sh reads: the manifest's facts as shell variables."""
_NVFLARES_NOTES = ("readme.txt", "startup/readme.txt", "startup/system_info.ipynb")
_SCRIPTS = Path(__file__).parent / "kit"
_EXECUTABLE = {".sh"}


def assemble(nvflares: Path, kit: Kit, to: Path, network: str | None) -> Kit:
    """Make the folder of a kit.

    Args:
        nvflares: what NVFlare's builders wrote: startup/ and local/.
        kit: the manifest, still without files.
        to: the folder to make.
        network: Docker network that the container joins.

    Returns:
        the manifest with the digest of every file.
    """
    shutil.copytree(nvflares, to)
    shutil.rmtree(to / "transfer", ignore_errors=True)
    for name in _NVFLARES_NOTES:
        (to / name).unlink(missing_ok=True)
    for folder in (_SCRIPTS / "common", _SCRIPTS / kit.role):
        if folder.is_dir():
            shutil.copytree(folder, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (to / SETTINGS).write_text(_settings(kit, network), encoding="utf-8")
    (to / "README.md").write_text(_readme(kit), encoding="utf-8")
    _set_modes(to)
    return write_manifest(kit, to)


def write_manifest(kit: Kit, folder: Path) -> Kit:
    """Write kit.json over the files that are in `folder` now."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    listed = {str(path.relative_to(folder)): sha256_of_file(path) for path in paths}
    kit = kit.model_copy(update={"files": listed})
    (folder / MANIFEST).write_text(kit.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / MANIFEST).chmod(0o644)
    return kit


def pack(folder: Path, archive: Path, made: datetime) -> None:
    """Pack a kit into a .tar.gz that keeps modes; the same kit gives the same bytes."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = int(made.timestamp())
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=folder.name, recursive=False, filter=plain)
        for path in sorted(folder.rglob("*")):
            tar.add(path, arcname=f"{folder.name}/{path.relative_to(folder)}", recursive=False, filter=plain)
    new = archive.with_name(f"{archive.name}.new")
    new.touch(mode=0o600)  # it holds a private key
    new.write_bytes(gzip.compress(buffer.getvalue(), mtime=int(made.timestamp())))
    new.replace(archive)


def _set_modes(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if path.is_dir() or path.suffix in _EXECUTABLE:
            path.chmod(0o755)
        else:
            path.chmod(0o600 if path.suffix == ".key" else 0o644)


def _settings(kit: Kit, network: str | None) -> str:
    settings = {
        "FEDERATION": kit.federation,
        "GENERATION": kit.generation,
        "NAME": kit.name,
        "ROLE": kit.role,
        "SERVER": kit.server.name,
        "PORT": kit.server.port,
        "ADMIN_PORT": kit.server.admin_port,
        "IMAGE": kit.image,
        "IMAGE_DIGEST": kit.image_digest or "",
        "NETWORK": network or "",
    }
    return "".join(f"{key}={quote(str(value))}\n" for key, value in settings.items())


def _readme(kit: Kit) -> str:
    template = files("mediswarm.provision").joinpath("readme", f"{kit.role}.md").read_text(encoding="utf-8")
    facts = json.loads(kit.model_dump_json()) | {
        "server": kit.server.name,
        "port": kit.server.port,
        "admin_port": kit.server.admin_port,
        "expires": f"{kit.expires:%Y-%m-%d}",
    }
    return Template(template).substitute(facts)
