"""The way to the server on the board: each step, and the first that fails."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mediswarm.preflight.bandwidth import upload_rate
from mediswarm.preflight.certificate import check_kit
from mediswarm.preflight.network import check_network
from mediswarm.spec.certificate import load_certificates
from mediswarm.spec.kit import ServerAddress, load_kit

Make = Callable[..., Any]
PING, ACK = 0x6, 0x1


def http2(rate: float | None = None) -> Callable[[ssl.SSLSocket], None]:
    """A receiver of HTTP/2 that discards unknown frames, answers PING, and reads `rate` bytes a second."""

    def exactly(tls: ssl.SSLSocket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = tls.recv(count - len(data))
            if not part:
                raise OSError
            data += part
        return data

    def talk(tls: ssl.SSLSocket) -> None:
        exactly(tls, 24)
        tls.sendall(b"\0\0\0\4\0\0\0\0\0")
        while True:
            head = exactly(tls, 9)
            payload = exactly(tls, int.from_bytes(head[:3], "big"))
            if head[3] == PING:
                tls.sendall(b"\0\0\x08" + bytes([PING, ACK]) + bytes(4) + payload)
            elif rate and payload:
                time.sleep(len(payload) / rate)

    return talk


def statuses(kit: Path) -> dict[str, str]:
    return {finding.subject: finding.status for finding in check_network(kit, load_kit(kit), timeout=2)}


def test_every_step_passes(make_kit: Make, serve: Make) -> None:
    port = serve(make_kit("localhost", "server"), http2())
    found = statuses(make_kit(port=port))
    assert found == dict.fromkeys(("name", "port", "TLS", "generation", "bandwidth"), "PASS")


def test_the_first_failed_step_ends_the_way(make_kit: Make, make_authority: Make, serve: Make) -> None:
    stale = serve(make_kit("localhost", "server", of=make_authority()))
    assert statuses(make_kit(port=stale)) == {"name": "PASS", "port": "PASS", "generation": "FAIL"}
    assert statuses(make_kit("site-2", server="server.invalid")) == {"name": "FAIL"}


@pytest.mark.parametrize("rate", [2e6, 8e6])
def test_the_upload_rate_is_measured(make_kit: Make, serve: Make, rate: float, monkeypatch: Any) -> None:
    """Against a receiver that reads at a known rate; what its kernel buffers counts as sent too early.

    The bound below is wide: beside other work the receiver reads more slowly.
    """
    monkeypatch.setattr("mediswarm.preflight.bandwidth._MOST_SECONDS", 1.0)
    port = serve(make_kit("localhost", "server"), http2(rate))
    server = ServerAddress(name="localhost", port=port)
    measured = upload_rate(server, load_certificates(make_kit(), "site"))
    assert 0.35 * rate < measured < 1.1 * rate


def test_a_server_that_speaks_something_else_is_not_measured(make_kit: Make, serve: Make) -> None:
    port = serve(make_kit("localhost", "server"), lambda tls: tls.sendall(b"HTTP/1.1 400 Bad Request\r\n"))
    kit = make_kit(port=port)
    (finding,) = (f for f in check_network(kit, load_kit(kit), timeout=2) if f.subject == "bandwidth")
    assert (finding.status, finding.code) == ("WARN", "MS-N014")
    assert "not measured" in finding.message


def test_a_kit_on_the_board(make_kit: Make) -> None:
    kit, findings = check_kit(make_kit())
    assert kit is not None
    assert [finding.status for finding in findings] == ["PASS", "PASS"]
    assert [f.code for f in check_kit(make_kit("site-2", days=20))[1]] == [None, "MS-K025"]
    folder = make_kit("site-3")
    (folder / "startup" / "rootCA.pem").write_bytes(b"changed")
    nothing, findings = check_kit(folder)
    assert nothing is None
    assert [finding.code for finding in findings] == ["MS-K002"]
