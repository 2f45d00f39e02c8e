"""The look at the server, against real TLS servers: what is wrong is named."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mediswarm.errors import MediSwarmError
from mediswarm.spec.certificate import load_certificates
from mediswarm.spec.kit import ServerAddress
from mediswarm.spec.server_probe import probe_server

Make = Callable[..., Any]


def probe(kit: Path, port: int, name: str = "localhost") -> Any:
    return probe_server(ServerAddress(name=name, port=port), load_certificates(kit, "site"), timeout=2)


def refused(kit: Path, port: int, name: str = "localhost") -> MediSwarmError:
    with pytest.raises(MediSwarmError) as raised:
        probe(kit, port, name)
    return raised.value


def test_the_federations_server_is_recognised(make_kit: Make, serve: Make) -> None:
    seen = probe(make_kit(), serve(make_kit("localhost", "server")))
    assert seen.protocol == "TLSv1.3"
    assert seen.connect_s < 2


def test_a_server_of_another_generation(make_kit: Make, make_authority: Make, serve: Make) -> None:
    """R10."""
    error = refused(make_kit(), serve(make_kit("localhost", "server", of=make_authority())))
    assert (error.code, error.exit_code) == ("MS-K020", 12)


def test_a_server_of_another_federation_or_a_proxy(make_kit: Make, make_authority: Make, serve: Make) -> None:
    error = refused(make_kit(), serve(make_kit("localhost", "server", of=make_authority("proxy"))))
    assert error.code == "MS-K022"
    assert "a certificate of proxy" in error.message


def test_a_server_that_does_not_take_the_kit(make_kit: Make, make_authority: Make, serve: Make) -> None:
    """Our root signed the server, but the server's root did not sign us: as after half a renewal."""
    server, site = make_kit("localhost", "server"), make_kit()
    other = make_kit("site-9", of=make_authority("elsewhere"))
    (server / "startup" / "rootCA.pem").write_bytes((other / "startup" / "rootCA.pem").read_bytes())
    assert refused(site, serve(server)).code == "MS-N005"


def test_a_server_whose_certificate_has_ended(make_kit: Make, serve: Make) -> None:
    begins = datetime.now(timezone.utc) - timedelta(days=1)
    error = refused(make_kit(), serve(make_kit("localhost", "server", begins=begins, days=0.5)))
    assert error.code == "MS-N007"
    assert "ended" in error.message


def test_a_server_under_another_name(make_kit: Make, serve: Make) -> None:
    error = refused(make_kit(), serve(make_kit("server.example.org", "server")))
    assert error.code == "MS-N007"
    assert "is for server.example.org, not for localhost" in error.message


def test_a_name_that_nobody_knows(make_kit: Make) -> None:
    assert refused(make_kit(), 8002, "server.invalid").code == "MS-N001"


def test_a_port_that_refuses(make_kit: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert refused(make_kit(), port).code == "MS-N002"


def test_a_server_that_does_not_answer(make_kit: Make) -> None:
    """A listener whose queue is full takes no further connection, as a firewall that drops packets."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        error = refused(make_kit(), address[1])
        for sock in waiting:
            sock.close()
    assert error.code == "MS-N003"
    assert "no answer within 2 s" in error.message


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 403 Forbidden\r\n\r\n"])
def test_something_that_speaks_no_tls(make_kit: Make, answer: bytes) -> None:
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10)
                connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        error = refused(make_kit(), listener.getsockname()[1])
        thread.join()
    assert error.code == "MS-N004"
