"""The operator's state: the certificate authority, and which certificates it has issued."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from mediswarm.errors import FederationError

STATE = "state"
"""Folder of the operator alone (mode 0700): here is the root's private key, and nowhere else."""
_ROSTER = "roster.json"


@dataclass(frozen=True)
class Issued:
    """What a certificate says."""

    name: str
    organisation: str
    role: str | None
    expires: datetime


@dataclass
class Authority:
    """What is known of a federation that was provisioned before; empty for a new one.

    Attributes:
        folder: the state folder.
        federation: name of the federation, None before the first provisioning.
        server: name of its server.
        content: NVFlare's own record of root and participants, as it stands in `cert.json`.
    """

    folder: Path
    federation: str | None = None
    server: str | None = None
    content: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> x509.Certificate:
        """The root certificate."""
        return x509.load_pem_x509_certificate(self.content["root_cert"].encode("ascii"))

    @property
    def root_key(self) -> Any:
        """The root's private key."""
        return serialization.load_pem_private_key(self.content["root_pri_key"].encode("ascii"), password=None)

    @property
    def generation(self) -> str:
        """First 12 hex digits of the SHA-256 of the root certificate (DER)."""
        der = self.root.public_bytes(serialization.Encoding.DER)
        return hashlib.sha256(der).hexdigest()[:12]

    @property
    def issued(self) -> dict[str, Issued]:
        """What each participant's certificate says, by name."""
        names = [name for name, entry in self.content.items() if isinstance(entry, dict)]
        return {name: _read_certificate(self.content[name]["cert"]) for name in names}

    def public_key_of(self, name: str) -> Any:
        """The public key that a participant's certificate is over; None without a certificate."""
        entry = self.content.get(name)
        if entry is None:
            return None
        return x509.load_pem_x509_certificate(entry["cert"].encode("ascii")).public_key()

    def record(self, name: str, certificate: x509.Certificate) -> None:
        """Keep the certificate of a participant whose key is not here."""
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        self.content[name] = {"cert": pem}

    def forget(self, name: str) -> None:
        """Drop a participant's key and certificate, so that it gets new ones."""
        self.content.pop(name, None)

    def save(self, federation: str, server: str) -> None:
        """Write the state, readable for this account only."""
        self.federation, self.server = federation, server
        self._file.parent.mkdir(parents=True, exist_ok=True)
        _write(self._file, self.content)
        _write(self.folder / _ROSTER, {"federation": federation, "server": server})

    def reload(self) -> None:
        """Read what NVFlare's certificate builder has written."""
        self._file.chmod(0o600)
        self.content = json.loads(self._file.read_text(encoding="utf-8"))

    @property
    def _file(self) -> Path:
        """Where NVFlare's certificate builder keeps its record."""
        return self.folder / str(self.federation) / "state" / "cert.json"


def load_authority(folder: Path) -> Authority:
    """The state in `folder`.

    Raises:
        FederationError: MS-F015 when it cannot be read, or is readable for others.
    """
    file = folder / _ROSTER
    if not folder.exists():
        return Authority(folder)
    if folder.stat().st_mode & 0o077:
        raise FederationError(
            "MS-F015",
            "the folder with the root's private key is open to other accounts",
            repair=f"Run `chmod 700 {folder}`; if others could read it, make a new generation.",
            file=folder,
        )
    try:
        if not file.exists():
            return Authority(folder)
        roster = json.loads(file.read_text(encoding="utf-8"))
        authority = Authority(folder, roster["federation"], roster["server"])
        authority.reload()
        _ = authority.root, authority.issued
    except (OSError, ValueError, KeyError) as error:
        raise FederationError("MS-F015", "the state of the federation cannot be read", file=folder) from error
    return authority


def _read_certificate(pem: str) -> Issued:
    certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))

    def said(oid: x509.ObjectIdentifier) -> str | None:
        found = certificate.subject.get_attributes_for_oid(oid)
        return str(found[0].value) if found else None

    return Issued(
        name=said(NameOID.COMMON_NAME) or "",
        organisation=said(NameOID.ORGANIZATION_NAME) or "",
        role=said(NameOID.UNSTRUCTURED_NAME),
        expires=certificate.not_valid_after_utc.astimezone(timezone.utc),
    )


def _write(file: Path, content: dict[str, Any]) -> None:
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(content, indent=1), encoding="utf-8")
    new.replace(file)
