"""Is the server there, and is it ours? A connection that looks and does not trust.

Used by the node before it lets NVFlare connect, and by preflight. It speaks
TLS with the kit's certificate and sends nothing else.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from cryptography import x509

from mediswarm.errors import KitError, MediSwarmError, SessionError
from mediswarm.spec.certificate import KitCertificates, common_name, is_signed_by, when
from mediswarm.spec.kit import ServerAddress

_REFUSAL_WAIT_S = 1.0
"""With TLS 1.3 a client is done before the server has judged its certificate: a refusal comes later."""


@dataclass(frozen=True)
class ServerSeen:
    """What a TLS handshake with the server showed."""

    certificate: x509.Certificate
    protocol: str
    connect_s: float


def probe_server(server: ServerAddress, certificates: KitCertificates, timeout: float = 10.0) -> ServerSeen:
    """Resolve, connect, shake hands, and compare the server's certificate with the kit.

    Args:
        server: where the server should be.
        certificates: those of the kit.
        timeout: seconds for connecting, and again for the handshake.

    Raises:
        SessionError: MS-N001 to MS-N005 and MS-N007, for what may be mended without another kit.
        KitError: MS-K020 or MS-K022 when the server is of another generation or federation (R10).
    """
    address = resolve(server)
    with connect(server, address, timeout) as (sock, connect_s):
        return shake_hands(server, certificates, sock, connect_s)


def resolve(server: ServerAddress) -> str:
    """The server's address; raises SessionError MS-N001."""
    try:
        found = socket.getaddrinfo(server.name, server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SessionError("MS-N001", f"the name {server.name} cannot be resolved") from error
    return str(found[0][4][0])


@contextlib.contextmanager
def connect(server: ServerAddress, address: str, timeout: float) -> Iterator[tuple[socket.socket, float]]:
    """A TCP connection and the seconds it took; raises SessionError MS-N002 or MS-N003."""
    where = f"{server.name}:{server.port}" + (f" ({address})" if address != server.name else "")
    begun = time.monotonic()
    try:
        sock = socket.create_connection((address, server.port), timeout)
    except ConnectionRefusedError as error:
        raise SessionError("MS-N002", f"{where} refuses the connection") from error
    except OSError as error:
        said = f"no answer within {timeout:.0f} s" if isinstance(error, TimeoutError) else error.strerror
        raise SessionError("MS-N003", f"{where} cannot be reached: {said}") from error
    with sock:
        yield sock, time.monotonic() - begun


def shake_hands(
    server: ServerAddress, certificates: KitCertificates, sock: socket.socket, connect_s: float
) -> ServerSeen:
    """The TLS handshake on a connection, judged; raises as :func:`probe_server`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # judged below, and named better than "certificate verify failed"
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    where = f"{server.name}:{server.port}"
    try:
        context.load_cert_chain(certificates.own_file, certificates.key_file)
    except (OSError, ssl.SSLError) as error:
        raise KitError("MS-K024", "TLS cannot use certificate and key", file=certificates.own_file) from error
    seen: ServerSeen | None = None
    try:
        with context.wrap_socket(sock, server_hostname=server.name) as tls:
            raw = tls.getpeercert(binary_form=True)
            if raw is None:
                raise SessionError("MS-N004", f"{where} showed no certificate")
            seen = ServerSeen(x509.load_der_x509_certificate(raw), tls.version() or "TLS", connect_s)
            _judge(server, certificates, seen.certificate)
            tls.settimeout(_REFUSAL_WAIT_S)
            with contextlib.suppress(TimeoutError):
                tls.recv(1)
    except ssl.SSLError as error:
        reason = str(error.reason or error).lower().replace("_", " ")
        if seen is not None or "certificate" in reason or "unknown ca" in reason:
            raise SessionError("MS-N005", f"{where} refuses this certificate: {reason}") from error
        raise SessionError("MS-N004", f"TLS with {where} fails: {reason}") from error
    except MediSwarmError:
        raise
    except (OSError, ValueError) as error:
        if seen is None:
            raise SessionError("MS-N004", f"TLS with {where} breaks off") from error
    assert seen is not None  # noqa: S101 - without it, an error was raised above
    return seen


def _judge(server: ServerAddress, kit: KitCertificates, certificate: x509.Certificate) -> None:
    where = f"{server.name}:{server.port}"
    if not is_signed_by(certificate, kit.root):
        issuer = common_name(certificate.issuer)
        if issuer == kit.federation:
            raise KitError(
                "MS-K020",
                f"the kit is of generation {generation_of(kit.root)} of {issuer}, and the server at {where} "
                "uses another one",
            )
        raise KitError(
            "MS-K022",
            f"the kit is of the federation {kit.federation}, but who answers at {where} has a certificate "
            f"of {issuer}",
        )
    now = datetime.now(timezone.utc)
    if now > certificate.not_valid_after_utc:
        ended = when(certificate.not_valid_after_utc)
        raise SessionError(
            "MS-N007", f"the certificate of {where} ended {ended}; this clock says {when(now)}"
        )
    names = {common_name(certificate.subject), *_alternative_names(certificate)}
    if server.name not in names:
        raise SessionError(
            "MS-N007", f"the certificate of {where} is for {', '.join(sorted(names))}, not for {server.name}"
        )


def generation_of(root: x509.Certificate) -> str:
    """The generation that a root certificate stands for, as in a kit's manifest."""
    from cryptography.hazmat.primitives.hashes import SHA256

    return root.fingerprint(SHA256()).hex()[:12]


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]
