"""The certificates of a startup kit: whether they can be used now, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from mediswarm.errors import HostError, KitError
from mediswarm.spec.kit import Role

ROOT_CERTIFICATE = Path("startup") / "rootCA.pem"
_CLOCK_TOLERANCE = timedelta(minutes=5)  # a kit may be used minutes after it was made, on another machine


@dataclass(frozen=True)
class KitCertificates:
    """What a kit holds to prove who it is, and to know the server by."""

    root: x509.Certificate
    own: x509.Certificate
    own_file: Path
    key_file: Path
    root_file: Path
    role: Role

    @property
    def federation(self) -> str:
        """The name on the root certificate."""
        return common_name(self.root.subject)


def load_certificates(kit: Path, role: Role) -> KitCertificates:
    """Read the certificates of a kit folder.

    Raises:
        KitError: MS-K024 when one cannot be read, is not signed by the kit's root, or does not fit its key.
    """
    name = "server" if role == "server" else "client"
    own_file, key_file = kit / "startup" / f"{name}.crt", kit / "startup" / f"{name}.key"
    root_file = kit / ROOT_CERTIFICATE
    root, own = _read(root_file), _read(own_file)
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KitError("MS-K024", "the private key cannot be read", file=key_file) from error
    if key.public_key() != own.public_key():
        raise KitError("MS-K024", "the private key does not belong to the certificate", file=key_file)
    if not is_signed_by(own, root):
        raise KitError(
            "MS-K024", "the certificate is not signed by the kit's root certificate", file=own_file
        )
    return KitCertificates(root, own, own_file, key_file, root_file, role)


def check_validity(certificates: KitCertificates, now: datetime | None = None) -> None:
    """Compare the kit's certificates with this machine's clock.

    Raises:
        HostError: MS-N006 when they are not valid yet, which only a wrong clock can show (R24).
        KitError: MS-K021 when one has ended.
    """
    now = now or datetime.now(timezone.utc)
    for certificate, file in (
        (certificates.root, certificates.root_file),
        (certificates.own, certificates.own_file),
    ):
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now + _CLOCK_TOLERANCE < begins:
            raise HostError(
                "MS-N006",
                f"this machine's clock says {when(now)}, and the certificate is valid from {when(begins)} on",
                file=file,
            )
        if now > ends:
            raise KitError(
                "MS-K021",
                f"the certificate ended {when(ends)}; the clock of this machine says {when(now)}",
                repair=_renewal(certificates) if certificate is certificates.own else None,
                file=file,
            )


def _renewal(certificates: KitCertificates) -> str | None:
    """An admin has the federation file, and nobody to ask; None for the code's own advice."""
    if certificates.role != "admin":
        return None
    name = common_name(certificates.own.subject)
    return f"Make a new kit with `mediswarm provision FILE --renew {name}`, and unpack it over this one."


def is_signed_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    """Whether `root` signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(root)
    except Exception:  # noqa: BLE001 - ValueError, TypeError and InvalidSignature all say no
        return False
    return True


def common_name(name: x509.Name) -> str:
    """The common name, or the whole name where there is none."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def when(moment: datetime) -> str:
    """A moment for people, in UTC."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _read(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise KitError("MS-K024", "the certificate cannot be read", file=file) from error
