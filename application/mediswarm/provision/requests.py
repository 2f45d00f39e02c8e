"""Distributed provisioning: a participant makes its own key, and only a request for a certificate travels."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID
from nvflare.lighter.utils import generate_keys, serialize_pri_key, x509_name

from mediswarm.errors import FederationError, KitError, UsageError
from mediswarm.provision.kit_folder import write_manifest
from mediswarm.spec.federation import Admin, Federation, FederationSite
from mediswarm.spec.kit import Kit, verify_kit

_LEAST_BITS = 2048
_KEY = "startup/client.key"


def make_request(name: str, organisation: str, folder: Path) -> tuple[Path, str]:
    """Make a private key and a request for a certificate over it, at the participant's own machine.

    Args:
        name: the participant's name in the federation file.
        organisation: who it belongs to.
        folder: gets NAME.key, which stays, and NAME.csr, which goes to the operator.

    Returns:
        the request's file, and the fingerprint of its public key to compare by telephone.

    Raises:
        UsageError: MS-U003 when there is a key already, which would be lost.
    """
    key_file, request_file = folder / f"{name}.key", folder / f"{name}.csr"
    if key_file.exists():
        raise UsageError("MS-U003", "there is a private key of this name already", file=key_file)
    folder.mkdir(parents=True, exist_ok=True)
    private_key, public_key = generate_keys()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509_name(name, organisation))
        .sign(private_key, hashes.SHA256())
    )
    key_file.touch(mode=0o600)
    key_file.write_bytes(serialize_pri_key(private_key))
    request_file.write_bytes(request.public_bytes(serialization.Encoding.PEM))
    return request_file, fingerprint(public_key)


def fingerprint(public_key: PublicKeyTypes) -> str:
    """SHA-256 of a public key, in groups of four hex digits."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digits = hashlib.sha256(der).hexdigest()
    return " ".join(digits[at : at + 4] for at in range(0, 32, 4))


def read_request(file: Path, federation: Federation) -> tuple[FederationSite | Admin, RSAPublicKey]:
    """Check a request against the federation file.

    Also takes the NAME.csr that `nvflare cert request` makes.

    Returns:
        the participant it is from, and its public key.

    Raises:
        FederationError: MS-F014 when it is no request, or not one that the file allows;
            MS-F013 for a participant that the file does not hold.
    """
    try:
        request = x509.load_pem_x509_csr(file.read_bytes())
        intact = request.is_signature_valid
        key = request.public_key()
    except (OSError, ValueError) as error:
        raise FederationError("MS-F014", "this is no certificate request", file=file) from error
    if not intact:
        raise FederationError("MS-F014", "the request was changed after it was made", file=file)
    name = _said(request, NameOID.COMMON_NAME)
    found = [member for member in federation.key_owners if member.name == name]
    if not found:
        raise FederationError(
            "MS-F013", f"the request is from {name!r}, which is no site or admin", file=file
        )
    (member,) = found
    organisation = _said(request, NameOID.ORGANIZATION_NAME)
    if organisation != member.organisation:
        raise FederationError(
            "MS-F014",
            f"the request says organisation {organisation!r}, the federation file {member.organisation!r}",
            file=file,
        )
    if not member.own_key:
        raise FederationError(
            "MS-F014",
            f"{name} has no `own_key: true` in the federation file",
            repair="Add `own_key: true` to the participant, if it is to make its own key.",
            file=file,
        )
    if not isinstance(key, RSAPublicKey) or key.key_size < _LEAST_BITS:
        raise FederationError("MS-F014", f"the key is not RSA of {_LEAST_BITS} bits or more", file=file)
    return member, key


def complete_kit(archive: Path, key_file: Path, into: Path) -> Kit:
    """Unpack a kit that came without a private key, and add the key that stayed here.

    Args:
        archive: NAME.tar.gz from the operator.
        key_file: NAME.key, made together with the request.
        into: folder that gets the kit's folder.

    Raises:
        KitError: MS-K001, MS-K002 as :func:`mediswarm.spec.kit.verify_kit`, MS-K004 for another key,
            MS-K005 when the archive is none.
        UsageError: MS-U003 when the kit's folder exists.
    """
    into.mkdir(parents=True, exist_ok=True)
    # first aside: a kit is there whole or not at all
    with tempfile.TemporaryDirectory(dir=into, prefix=".new-") as aside:
        folder = _unpack(archive, Path(aside))
        if (into / folder.name).exists():
            raise UsageError(
                "MS-U003", "there is a folder of the kit's name already", file=into / folder.name
            )
        kit = verify_kit(folder)
        _require_key_of(kit, folder, key_file)
        (folder / _KEY).touch(mode=0o600)
        (folder / _KEY).write_bytes(key_file.read_bytes())
        kit = write_manifest(kit, folder)
        folder.rename(into / folder.name)
    return kit


def _require_key_of(kit: Kit, folder: Path, key_file: Path) -> None:
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KitError("MS-K004", "this is no readable private key", file=key_file) from error
    certificate = x509.load_pem_x509_certificate((folder / "startup/client.crt").read_bytes())
    if not isinstance(key, RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise KitError("MS-K004", f"the certificate of {kit.name} is over another key", file=key_file)


def _unpack(archive: Path, into: Path) -> Path:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = tar.getmembers()
            (name,) = {member.name.split("/")[0] for member in members}
            for member in members:  # Python before 3.10.12 and 3.11.4 has no filter that would look
                if not (member.isreg() or member.isdir()) or ".." in member.name.split("/") or not name:
                    raise KitError("MS-K005", f"a kit holds no {member.name}", file=archive)
            filtered: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(into, **filtered)  # noqa: S202 - only files and folders, all below `into`
    except (OSError, tarfile.TarError, ValueError) as error:
        raise KitError("MS-K005", "this is no archive of a startup kit", file=archive) from error
    return into / name


def _said(request: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> str:
    found = request.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""
