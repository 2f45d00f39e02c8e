"""A session with a federation's server, with an admin's startup kit and without questions."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's C core writes to the terminal, past all logging

from nvflare.apis.fl_exception import FLCommunicationError
from nvflare.fuel.flare_api import api_spec as nv
from nvflare.fuel.flare_api.flare_api import Session
from nvflare.fuel.utils.config_service import ConfigService
from typing_extensions import Self

from mediswarm.errors import KitError, MediSwarmError, SessionError
from mediswarm.flare.event_answers import EVENTS
from mediswarm.flare.federation_server import ConnectedSite, SegmentJob, says_full
from mediswarm.spec.certificate import check_validity, load_certificates
from mediswarm.spec.kit import verify_kit
from mediswarm.spec.server_probe import connect, probe_server, resolve

log = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_S = 10.0
"""How long a login may take."""
COMMAND_S = 30.0
"""How long the server may take for an answer, in which it asks the sites."""
EVENTS_S = 3.0
"""How long a running job may take to tell its events; the next time it is asked again."""
SITES_S = 10.0
"""How long a site may take to say what it does; one that was cut off says nothing."""
BLOCK_S = 300.0
"""How long one block of a downloaded file may take: a slow link is no failure."""

_LOST = (nv.NoConnection, nv.SessionClosed, nv.SessionExpired, FLCommunicationError)
_NO_REPLY = "no_reply"


class ServerSession:
    """An admin's connection, made when it is first needed and made again when it is lost.

    Args:
        kit_dir: an admin's startup kit; only read.
        transfer: a writable directory for what is downloaded.

    Raises:
        KitError: MS-K001, MS-K002 and MS-K024 for the kit's files, MS-S006 when it is not an admin's.
    """

    def __init__(self, kit_dir: Path, transfer: Path) -> None:
        self.kit = verify_kit(kit_dir)
        if self.kit.role != "admin":
            raise KitError("MS-S006", f"this kit is for a {self.kit.role}, not for an admin", file=kit_dir)
        self._certificates = load_certificates(kit_dir, "admin")
        self._root = tempfile.TemporaryDirectory(prefix="mediswarm-session-")
        transfer.mkdir(parents=True, exist_ok=True)
        # NVFlare wants a writable kit, with its transfer directory inside
        for name, place in {
            "startup": kit_dir / "startup",
            "local": kit_dir / "local",
            "transfer": transfer,
        }.items():
            (Path(self._root.name) / name).symlink_to(place.resolve())
        self._session: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out; nothing of the session stays in this process or on disk."""
        self._drop()
        self._root.cleanup()

    def connect(self) -> None:
        """Log in, unless that was done.

        Raises:
            KitError: MS-K020 to MS-K022 when the kit has ended or is not this server's.
            HostError: MS-N006 when this machine's clock is wrong.
            SessionError: MS-N001 to MS-N007 when the way to the server is blocked, MS-S001 or MS-S002.
        """
        if self._session is not None:
            return
        check_validity(self._certificates)
        with connect(self.kit.server, resolve(self.kit.server), CONNECT_S):
            pass  # NVFlare would try for the whole of its time where nobody listens
        session: Session | None = None
        try:
            with _quiet():
                # NVFlare would look for its settings in the current directory and all below it
                ConfigService.initialize({}, [str((Path(self._root.name) / "local").resolve())])
                session = Session(self.kit.name, self._root.name)
                session.api._print_hci = _silent  # noqa: SLF001 - it prints to the terminal
                session.api.auto_login_max_tries = 1
                session.api.file_download_progress_timeout = BLOCK_S
                session.set_timeout(COMMAND_S)
                session.try_connect(CONNECT_S)
        except Exception as error:
            _close(session)
            # NVFlare says "cannot connect" to everything: what it is, a plain TLS handshake tells
            probe_server(self.kit.server, self._certificates)
            if isinstance(error, (nv.AuthenticationError, nv.AuthorizationError)):
                raise SessionError("MS-S002", f"{self._where} does not accept {self.kit.name}") from error
            raise SessionError("MS-S001", f"no session with {self._where}: {_said(error)}") from error
        self._session = session

    def started(self) -> float:
        return float(self._ask(lambda session: session.get_system_info().server_info.start_time))

    def expires(self) -> datetime:
        own = self._certificates
        check_validity(own)  # a server that refuses it, or is down, would hide the reason
        seen = probe_server(self.kit.server, own)
        return min(certificate.not_valid_after_utc for certificate in (own.own, own.root, seen.certificate))

    def roster(self) -> tuple[str, ...]:
        return self.kit.sites

    def sites(self) -> list[ConnectedSite]:
        def ask(session: Session) -> list[ConnectedSite]:
            registered = session.get_system_info().client_info
            answers: dict[str, list[dict[str, Any]]] = {}
            with contextlib.suppress(nv.NoClientsAvailable), _within(SITES_S, session):
                for said in session.get_client_job_status() or []:
                    answers.setdefault(said["client_name"], []).append(said)
            return [
                ConnectedSite(
                    site.name,
                    any(said.get("status") != _NO_REPLY for said in answers.get(site.name, [])),
                    float(site.last_connect_time),
                    tuple(said["job_id"] for said in answers.get(site.name, []) if said.get("job_id")),
                )
                for site in sorted(registered, key=lambda site: str(site.name))
            ]

        return self._ask(ask)

    def submit(self, folder: Path, token: str) -> str:
        # NVFlare keeps the token with the job: what was submitted before a crash is found again
        try:
            return str(self._ask(lambda session: session.submit_job(str(folder), submit_token=token)))
        except _Conflict as conflict:
            return conflict.job_id

    def job(self, job_id: str) -> SegmentJob:
        meta: dict[str, Any] = self._ask(lambda session: session.get_job_meta(job_id))
        return SegmentJob(str(meta.get("status", "")), tuple(meta.get("job_deploy_detail") or ()))

    def events(self, job_id: str, after: int) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        def ask(session: Session) -> dict[str, Any]:
            # NVFlare 2.9 holds its server's lock until the job answers, and no heartbeat gets through: where
            # the job's process has just ended, that is until the timeout
            with _within(EVENTS_S, session):
                return dict(session.do_app_command(job_id, EVENTS, {"after": after}))

        try:
            said = self._ask(ask)
        except SessionError as error:
            if error.code not in ("MS-S005", "MS-S007"):
                raise
            said = {}  # its process is not up yet, or has just ended
        return said.get("events", []), said.get("record")

    def abort(self, job_id: str) -> None:
        with contextlib.suppress(_NotRunning):
            self._ask(lambda session: session.abort_job(job_id))

    def download(self, job_id: str, to: Path) -> Path | None:
        to.mkdir(parents=True, exist_ok=True)
        try:
            location = self._ask(lambda session: session.download_job_result(job_id, str(to)))
        except SessionError as error:
            if error.code != "MS-S007":
                raise
            log.warning("job %s left nothing to download: %s", job_id, error.message)
            return None
        found = sorted(Path(location).glob("workspace/**/mediswarm/run.json")) if location else []
        return found[0].parent if found else None

    def server_log(self, job_id: str) -> str:
        """The server's own log of an NVFlare job; sites' logs stay with them."""
        said = self._ask(lambda session: session.get_job_logs(job_id, "server"))
        return str(said.get("logs", {}).get("server", ""))

    @property
    def _where(self) -> str:
        return f"{self.kit.server.name}:{self.kit.server.admin_port}"

    def _ask(self, command: Callable[[Session], T]) -> T:
        """Carry out a command, in a new session if the old one was lost; every command may be repeated."""
        for last in (False, True):
            self.connect()
            try:
                with _quiet():
                    return command(self._session)
            except _LOST as error:
                self._drop()
                if last:
                    raise SessionError("MS-S001", f"{self._where} does not answer: {_said(error)}") from error
            except Exception as error:
                raise self._explained(error) from error
        raise AssertionError  # both passes return or raise

    def _explained(self, error: Exception) -> MediSwarmError:
        if isinstance(error, nv.AuthenticationError):
            self._drop()
            return SessionError("MS-S002", f"{self._where} does not accept {self.kit.name}")
        if isinstance(error, nv.AuthorizationError):
            return SessionError("MS-S003", _said(error))
        if isinstance(error, nv.JobNotFound):
            return SessionError("MS-S005", _said(error))
        if isinstance(error, nv.JobNotRunning):
            return _NotRunning("MS-S007", _said(error))
        if isinstance(error, nv.SubmitTokenConflict):
            return _Conflict(_said(error), str(error.existing_job_id))
        if says_full(str(error)):
            code, said = "MS-H004", f"the server's scratch directory, {self._where}: {_said(error)}"
        else:
            refused = isinstance(error, (nv.InvalidJobDefinition, nv.SubmitTokenJobDeleted))
            code, said = "MS-S004" if refused else "MS-S007", _said(error)
        return SessionError(code, said)

    def _drop(self) -> None:
        session, self._session = self._session, None
        _close(session)


class _NotRunning(SessionError):
    """The job has ended already."""


class _Conflict(SessionError):
    """The token was used for a job of other bytes: the same segment, built by another version."""

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__("MS-S004", message)
        self.job_id = job_id


@contextlib.contextmanager
def _within(seconds: float, session: Session) -> Iterator[None]:
    """Let the server wait so long for others, and not :data:`COMMAND_S`."""
    session.set_timeout(seconds)
    try:
        yield
    finally:
        session.set_timeout(COMMAND_S)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NVFlare prints progress and tracebacks; they go to our log, at level debug."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            yield
        finally:
            if printed.getvalue():
                log.debug("NVFlare printed: %s", printed.getvalue())


def _close(session: Session | None) -> None:
    if session is not None:
        with _quiet(), contextlib.suppress(Exception):
            session.close()


def _silent(message: str) -> None:
    log.debug("%s", message)


def _said(error: Exception) -> str:
    """An error of NVFlare's in one line."""
    return " ".join(str(error).split()) or type(error).__name__
