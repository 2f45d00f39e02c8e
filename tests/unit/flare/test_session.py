"""What an admin is told when there is no session to be had; the rest is in tests/integration."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from nvflare.fuel.flare_api import api_spec as nv

from mediswarm.errors import KitError, SessionError, UsageError
from mediswarm.flare.federation_server import SegmentJob
from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.run_state import RunState
from mediswarm.flare.session import ServerSession
from mediswarm.flare.submission import admit_run, named_sites
from mediswarm.spec.kit import load_kit


@pytest.fixture(scope="module")
def kits(make_federation: Any) -> Path:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        made: Path = make_federation(port=sock.getsockname()[1], sites=["site-1", "site-2"])
    return made


def refused(kit: Path, tmp_path: Path) -> SessionError | KitError:
    with (
        ServerSession(kit, tmp_path / "transfer") as session,
        pytest.raises((SessionError, KitError)) as said,
    ):
        session.sites()
    assert "Traceback" not in str(said.value)
    return said.value


@pytest.fixture
def foreign_server(make_federation: Any, kits: Path) -> Iterator[str]:
    """Someone else's certificate at the port of our server."""
    own = make_federation(port=8002, sites=["site-1"], name="another")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    startup = own / "localhost" / "startup"
    context.load_cert_chain(startup / "server.crt", startup / "server.key")
    port = load_kit(kits / "admin@example.org").server.port
    with socket.create_server(("127.0.0.1", port)) as listening:
        listening.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                    connection.settimeout(2)
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)
                except OSError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield "another"
        over.set()
        thread.join()


def test_nobody_listens(kits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    error = refused(kits / "admin@example.org", tmp_path)
    assert (error.code, "refuses the connection" in error.message) == ("MS-N002", True)
    assert capfd.readouterr() == ("", "")


def test_an_ended_certificate_is_named_before_the_server_is_asked(
    make_kit: Any, make_job: Any, tmp_path: Path
) -> None:
    """`mediswarm submit` begins with the server's certificate; one that is down says nothing of ours."""
    begins = datetime.now(timezone.utc) - timedelta(days=2)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and nobody listens
        kit = make_kit("admin@example.org", role="admin", begins=begins, days=1, port=sock.getsockname()[1])
        (kit / "local").mkdir()
        files = OperatorFiles(tmp_path / "state")
        with (
            ServerSession(kit, files.transfer) as session,
            RunState(files.database) as runs,
            pytest.raises(KitError) as said,
        ):
            admit_run(make_job(), None, kit, session, files, runs)
    assert said.value.code == "MS-K021"


def test_a_full_disk_at_the_server_is_named(kits: Path, tmp_path: Path) -> None:
    """NVFlare's server carries out nothing that it cannot write into its audit log."""
    said = nv.InternalError("Exception Occurred: OSError: [Errno 28] No space left on device")
    with ServerSession(kits / "admin@example.org", tmp_path / "transfer") as session:
        error = session._explained(said)
    assert (error.code, "server" in error.message) == ("MS-H004", True)


def test_the_server_is_of_another_federation(
    kits: Path, tmp_path: Path, foreign_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediswarm.flare.session.CONNECT_S", 2.0)
    error = refused(kits / "admin@example.org", tmp_path)
    assert (error.code, foreign_server in error.message) == ("MS-K022", True)


def test_a_site_is_no_admin(kits: Path, tmp_path: Path) -> None:
    with pytest.raises(KitError, match="for a site") as caught:
        ServerSession(kits / "site-1", tmp_path / "transfer")
    assert caught.value.code == "MS-S006"


def test_a_changed_kit_is_named(kits: Path, tmp_path: Path) -> None:
    changed = tmp_path / "kit"
    shutil.copytree(kits / "admin@example.org", changed)
    file = changed / "startup" / "fed_admin.json"
    file.chmod(0o600)
    file.write_text(file.read_text() + " ")
    with pytest.raises(KitError) as caught:
        ServerSession(changed, tmp_path / "transfer")
    assert (caught.value.code, caught.value.file) == ("MS-K002", str(file))


def test_a_session_leaves_nothing_behind_and_changes_no_kit(
    kits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    kit = kits / "admin@example.org"
    before = sorted(kit.rglob("*"))
    refused(kit, tmp_path)
    assert not list(temporary.iterdir())
    assert sorted(kit.rglob("*")) == before


@pytest.mark.parametrize(
    ("sites", "code"), [("site-1,,site-2", "MS-U004"), ("site-1,site-1", "MS-U004"), ("site-9", "MS-U002")]
)
def test_a_roster_that_cannot_be(sites: str, code: str) -> None:
    class Roster:
        def roster(self) -> tuple[str, ...]:
            return ("site-1", "site-2")

        def sites(self) -> list[Any]:
            return []

    with pytest.raises(UsageError) as caught:
        named_sites(sites, Roster())  # type: ignore[arg-type]
    assert caught.value.code == code
    assert named_sites("site-2, site-1", Roster()) == ("site-2", "site-1")  # type: ignore[arg-type]
    assert named_sites(None, Roster()) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "started", "finished"),
    [("SUBMITTED", False, False), ("RUNNING", True, False), ("FINISHED:ABORTED", False, True)],
)
def test_nvflares_words_for_a_job(status: str, started: bool, finished: bool) -> None:
    job = SegmentJob(status)
    assert (job.started, job.finished) == (started, finished)
