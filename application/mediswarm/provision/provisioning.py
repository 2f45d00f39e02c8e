"""From a federation to startup kits: the state, NVFlare's builders, then folders and archives."""

from __future__ import annotations

import fcntl
import io
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from nvflare.lighter.constants import CtxKey
from nvflare.lighter.impl.static_file import StaticFileBuilder
from nvflare.lighter.impl.workspace import WorkspaceBuilder
from nvflare.lighter.provisioner import Provisioner

from mediswarm.errors import FederationError, KitError
from mediswarm.provision.authority import STATE, Authority, load_authority
from mediswarm.provision.certificates import ParticipantCertificates, issue, new_root
from mediswarm.provision.changes import Removed, removed_members, require_compatible
from mediswarm.provision.kit_folder import assemble, pack
from mediswarm.provision.local_files import LocalFiles
from mediswarm.provision.project import nvflare_project
from mediswarm.provision.requests import fingerprint, read_request
from mediswarm.spec.federation import Admin, Federation, FederationSite, Server
from mediswarm.spec.kit import Kit, Role, verify_kit

KITS = "kits"
_LOCK = ".lock"
Outcome = Literal["new", "changed", "unchanged", "waiting"]
"""`changed`: the participant needs the new kit, its old one may no longer fit; `waiting`: for its request."""

_logger = logging.getLogger("mediswarm.provision.nvflare")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False


@dataclass(frozen=True)
class Provisioned:
    """What a provisioning did.

    Attributes:
        generation: of all kits.
        kits: folder with a folder and an archive for each participant.
        outcomes: by participant.
        approved: fingerprints of the keys in approved requests, by participant.
        removed: participants that the file no longer holds, while their certificates are valid.
    """

    generation: str
    kits: Path
    outcomes: dict[str, Outcome]
    approved: dict[str, str]
    removed: list[Removed]


def provision(
    federation: Federation,
    out: Path,
    *,
    renew: Sequence[str] = (),
    approve: Sequence[Path] = (),
    new_generation: bool = False,
) -> Provisioned:
    """Make the startup kits of a federation, or bring them up to date.

    What is up to date stays as it is, to the byte. Certificates are made once and kept.

    Args:
        federation: who takes part.
        out: folder of the federation; gets state/ (for the operator alone) and kits/.
        renew: participants that get a new key and certificate.
        approve: certificate requests of participants that make their own key.
        new_generation: put the old state and kits aside and start with a new root certificate.

    Raises:
        FederationError: MS-F010 to MS-F017.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            return _provision(federation, out, renew, approve, new_generation)
    except OSError as error:
        raise FederationError("MS-F015", f"{error.strerror or error}", file=error.filename or out) from error


def _provision(
    federation: Federation, out: Path, renew: Sequence[str], approve: Sequence[Path], new_generation: bool
) -> Provisioned:
    (out / ".gitignore").write_text("*\n", encoding="utf-8")  # private keys belong in no repository
    if new_generation:
        _put_aside(out)
    authority = load_authority(out / STATE)
    _forget(federation, authority, renew)
    require_compatible(federation, authority)
    (out / STATE).mkdir(mode=0o700, exist_ok=True)
    (out / KITS).mkdir(exist_ok=True)
    if authority.federation is None:
        authority.content = new_root(federation.name, federation.validity.authority_days)
    approved = _approve(federation, authority, approve)
    authority.save(federation.name, federation.server.name)
    with _built(federation, authority) as built:
        outcomes = {
            member.name: _publish(federation, member, authority, built / member.name, out / KITS)
            for member in federation.members
        }
    removed = removed_members(federation, authority)
    return Provisioned(authority.generation, out / KITS, outcomes, approved, removed)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Have the folder alone: two would make two root keys, and kits of both. A killed holder lets go.

    Raises:
        FederationError: MS-F017 when another process provisions there.
    """
    with (out / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FederationError(
                "MS-F017", "another `mediswarm provision` is at work in this folder", file=out
            ) from error
        yield


def _put_aside(out: Path) -> None:
    authority = load_authority(out / STATE)
    if authority.federation is not None:
        for name in (STATE, KITS):
            (out / name).rename(out / f"{name}-{authority.generation}")


def _forget(federation: Federation, authority: Authority, names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(federation.participants))
    if unknown:
        known = ", ".join(federation.participants)
        raise FederationError("MS-F013", f"there is no {', '.join(unknown)} in the federation, only {known}")
    for name in names:
        authority.forget(name)


def _approve(federation: Federation, authority: Authority, files: Sequence[Path]) -> dict[str, str]:
    approved = {}
    for file in files:
        member, key = read_request(file, federation)
        approved[member.name] = fingerprint(key)
        if authority.public_key_of(member.name) == key:
            continue  # approved before: the kit that was handed out stays as it is
        project = nvflare_project(federation, without=set())
        (participant,) = [found for found in project.get_all_participants() if found.name == member.name]
        days = federation.validity.participant_days
        certificate = issue(participant, key, root=authority.root, root_key=authority.root_key, days=days)
        authority.record(member.name, certificate)
    return approved


@contextmanager
def _built(federation: Federation, authority: Authority) -> Iterator[Path]:
    """A folder in which NVFlare's builders wrote all kits anew, with the certificates kept in the state."""
    issued = authority.issued
    waiting = {owner.name for owner in federation.key_owners if owner.own_key and owner.name not in issued}
    validity = federation.validity
    builders = [
        WorkspaceBuilder(),
        StaticFileBuilder(config_folder="config", scheme="grpc", require_signed_jobs=True),
        ParticipantCertificates(validity.authority_days, validity.participant_days),
        LocalFiles(federation),
    ]
    for left in (authority.folder / federation.name).glob("prod_*"):  # by a provisioning that was killed
        shutil.rmtree(left)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        project = nvflare_project(federation, waiting)
        context = Provisioner(str(authority.folder), builders).provision(project, logger=_logger)
    if context.get(CtxKey.BUILD_ERROR):
        raise FederationError("MS-F012", "; ".join(context.get_errors()), file=authority.folder)
    authority.reload()
    folder = Path(context.get_result_location())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _publish(
    federation: Federation,
    member: Server | FederationSite | Admin,
    authority: Authority,
    built: Path,
    kits: Path,
) -> Outcome:
    """Put a participant's kit into `kits`, unless the one that is there says the same."""
    if not built.is_dir():
        return "waiting"
    folder, archive = kits / member.name, kits / f"{member.name}.tar.gz"
    with tempfile.TemporaryDirectory(dir=kits, prefix=".new-") as temporary:
        fresh = Path(temporary) / member.name
        kit = assemble(built, _manifest(federation, member, authority), fresh, federation.network)
        there = _intact(folder)
        if there is not None and there.model_copy(update={"created": kit.created}) == kit:
            if not archive.exists():
                pack(folder, archive, there.created)
            return "unchanged"
        outcome: Outcome = "changed" if folder.exists() else "new"
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        fresh.rename(folder)
    pack(folder, archive, kit.created)
    return outcome


def _intact(folder: Path) -> Kit | None:
    """The manifest of a kit whose files are all as it says."""
    try:
        return verify_kit(folder)
    except KitError:
        return None


def _manifest(federation: Federation, member: Server | FederationSite | Admin, authority: Authority) -> Kit:
    role: Role = "server" if isinstance(member, Server) else "admin" if isinstance(member, Admin) else "site"
    images = federation.images
    image = images.sites if role == "site" else images.server or images.sites
    return Kit(
        federation=federation.name,
        generation=authority.generation,
        name=member.name,
        role=role,
        organisation=member.organisation,
        server=federation.server.address,
        sites=federation.site_names if role == "admin" else (),
        image=image,
        image_digest=image.partition("@")[2] or None,
        created=datetime.now(timezone.utc).replace(microsecond=0),
        expires=authority.issued[member.name].expires,
        files={},
    )
