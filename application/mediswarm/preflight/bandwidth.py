"""How fast this site can send to the server, measured without anything of ours at the server.

NVFlare's server speaks HTTP/2 (gRPC). A receiver of HTTP/2 discards frames of a type that it does not
know (RFC 9113, section 4.1), and answers a PING after all that came before it. So the time from the
first such frame to the answer is the time that the link took. Receiving cannot be measured this way.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time

from mediswarm.data.findings import Finding
from mediswarm.errors import SessionError
from mediswarm.spec.certificate import KitCertificates
from mediswarm.spec.kit import ServerAddress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _PING, _UNKNOWN = 0x4, 0x6, 0xF0
_ACK = 0x1
_PAYLOAD = bytes(16_000)  # below the 16,384 bytes that a receiver takes without being asked
_MOST_BYTES, _MOST_SECONDS = 32_000_000, 3.0
_FEW_BYTES = 64_000
_PATIENCE_S = 20.0
_SLOW = 1e6  # bytes per second: a model of 100 MB takes more than a minute and a half
_MEGA = 1e6


def check_bandwidth(server: ServerAddress, certificates: KitCertificates) -> Finding:
    """Send for some seconds and wait for the answer; a slow link and none measured are warnings."""
    try:
        rate = upload_rate(server, certificates)
    except (OSError, ValueError):
        error = SessionError("MS-N014", "not measured: the connection did not carry the measurement")
        return _warning(error)
    said = f"{rate / _MEGA:.1f} MB/s to the server; a model of 100 MB takes {100 * _MEGA / rate:.1f} s"
    return _warning(SessionError("MS-N015", said)) if rate < _SLOW else Finding.passed("bandwidth", said)


def upload_rate(server: ServerAddress, certificates: KitCertificates) -> float:
    """Bytes per second from here to the server.

    Raises:
        OSError: the connection broke, or nobody answered.
        ValueError: what answers does not speak HTTP/2.
    """
    context = ssl.create_default_context(cafile=str(certificates.root_file))
    context.check_hostname = False  # the server's name was judged before
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificates.own_file, certificates.key_file)
    with (
        socket.create_connection((server.name, server.port), _PATIENCE_S) as sock,
        context.wrap_socket(sock, server_hostname=server.name) as tls,
    ):
        tls.sendall(_PREFACE + _frame(_SETTINGS))
        tls.sendall(_frame(_PING, b"measured"))
        head = _exactly(tls, 9)
        if head[3] != _SETTINGS:
            raise ValueError("this is not HTTP/2")
        _exactly(tls, int.from_bytes(head[:3], "big"))
        _await_answer(tls)  # the connection is set up, and the clock starts
        begun, sent = time.monotonic(), 0
        while sent < _MOST_BYTES and (time.monotonic() - begun < _MOST_SECONDS or sent < _FEW_BYTES):
            tls.sendall(_frame(_UNKNOWN, _PAYLOAD))
            sent += len(_PAYLOAD)
        tls.sendall(_frame(_PING, b"measured"))
        _await_answer(tls)
        return sent / (time.monotonic() - begun)


def _frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, 0]) + bytes(4) + payload


def _await_answer(tls: ssl.SSLSocket) -> None:
    while True:
        head = _exactly(tls, 9)
        _exactly(tls, int.from_bytes(head[:3], "big"))
        if head[3] == _PING and head[4] & _ACK:
            return


def _exactly(tls: ssl.SSLSocket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = tls.recv(count - len(received))
        if not part:
            raise OSError("the connection was closed")
        received += part
    return received


def _warning(error: SessionError) -> Finding:
    return Finding("WARN", "bandwidth", error.message, error.code, error.repair)
