"""Fixtures for unit tests: small startup kits with real certificates, and a TLS server that holds one."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mediswarm.spec.digest import sha256_of_file
from mediswarm.spec.kit import Kit, Role, ServerAddress
from mediswarm.spec.server_probe import generation_of

MakeKit = Callable[..., Path]


class Authority:
    """A certificate authority of a federation."""

    def __init__(self, federation: str = "demo", begins: datetime | None = None) -> None:
        self.federation = federation
        self.key = ec.generate_private_key(ec.SECP256R1())
        begins = begins or datetime.now(timezone.utc) - timedelta(days=1)
        self.root = _certificate(
            federation, self.key, federation, self.key, begins, timedelta(days=3650), ca=True
        )

    def issue(
        self, name: str, begins: datetime, valid: timedelta
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        return _certificate(name, key, self.federation, self.key, begins, valid), key


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    begins: datetime,
    valid: timedelta,
    ca: bool = False,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + valid)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


@pytest.fixture
def make_authority() -> type[Authority]:
    return Authority


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def make_kit(tmp_path: Path, authority: Authority) -> MakeKit:
    """A startup kit: `make_kit("site-1", begins=…, days=…, port=…, of=another_authority)`."""

    def make(
        name: str = "site-1",
        role: Role = "site",
        of: Authority | None = None,
        begins: datetime | None = None,
        days: float = 365,
        server: str = "localhost",
        port: int = 8002,
    ) -> Path:
        of = of or authority
        folder = tmp_path / "kits" / f"{name}-{generation_of(of.root)}"
        startup = folder / "startup"
        startup.mkdir(parents=True)
        own, key = of.issue(
            name, begins or datetime.now(timezone.utc) - timedelta(hours=1), timedelta(days=days)
        )
        stem = "server" if role == "server" else "client"
        (startup / f"{stem}.crt").write_bytes(own.public_bytes(serialization.Encoding.PEM))
        (startup / f"{stem}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (startup / "rootCA.pem").write_bytes(of.root.public_bytes(serialization.Encoding.PEM))
        kit = Kit(
            federation=of.federation,
            generation=generation_of(of.root),
            name=name,
            role=role,
            organisation="example",
            server=ServerAddress(name=server, port=port),
            image="mediswarm/cifar10:test",
            created=datetime.now(timezone.utc),
            expires=own.not_valid_after_utc,
            files={f"startup/{file.name}": sha256_of_file(file) for file in startup.iterdir()},
        )
        (folder / "kit.json").write_text(kit.model_dump_json())
        return folder

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """A TLS server with a server's kit: `port = serve(kit, talk)`; it asks clients for certificates.

    `talk` is called with each connection after the handshake.
    """
    with contextlib.ExitStack() as stack:

        def start(kit: Path, talk: Callable[[ssl.SSLSocket], None] = lambda tls: None) -> int:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(kit / "startup" / "server.crt", kit / "startup" / "server.key")
            context.load_verify_locations(kit / "startup" / "rootCA.pem")
            context.verify_mode = ssl.CERT_REQUIRED
            context.set_alpn_protocols(["h2"])
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def accept() -> None:
                while True:
                    try:
                        plain, _ = listener.accept()
                    except OSError:
                        return
                    with (
                        plain,
                        contextlib.suppress(OSError),
                        context.wrap_socket(plain, server_side=True) as tls,
                    ):
                        talk(tls)

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return int(listener.getsockname()[1])

        yield start
