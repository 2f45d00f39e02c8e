"""The running process of a site or server: PID 1 of its container, or started by hand.

It checks the startup kit, finds out whether the server is there and is the one
the kit was made for, starts NVFlare's process, starts it again when it dies or
has lost the server for good, and says at any time how things are
(:mod:`mediswarm.flare.node_state`). What only another kit can mend ends in the
state *refused*: NVFlare is stopped and nothing is tried again, but the process
lives on, so that a restart policy of the container engine does not loop. So it does on
a full disk: nothing is started or ended there until there is room.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from mediswarm.errors import HostError, KitError, MediSwarmError, RunCrashed, SessionError
from mediswarm.flare.node_processes import (
    LOG_FILE,
    adopt_orphans,
    at_work,
    bury,
    end_family,
    prepare_workspace,
    start_nvflare,
)
from mediswarm.flare.node_state import (
    REGISTRATION_FILE,
    NodeState,
    State,
    disk_error,
    read_json,
    require_space,
    take_lock,
    utc,
    write_state,
)
from mediswarm.flare.pruning import prune
from mediswarm.spec.certificate import check_validity, load_certificates
from mediswarm.spec.kit import Kit, load_kit, verify_kit
from mediswarm.spec.server_probe import probe_server

IMAGE = "MEDISWARM_IMAGE"
_TICK_S = 0.25
_SAY_S = 5.0  # how often node.json is renewed when nothing changes
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_SILENT_S = 25.0  # two heartbeats and a timeout: from then on the site is not in touch
_LOST_S = 90.0
_RETURN_S = 60.0
"""A site that was silent for `_LOST_S` and has seen the server again for `_RETURN_S` starts NVFlare anew.
NVFlare reconnects within 10 s when a connection is closed, but waits for up to a quarter of an hour on one
whose other end is gone without a word; a minute lets TCP mend it, and a running job live."""
_UNREGISTERED_S = 45.0  # NVFlare asks for ever where a server does not say no
_PROBE_S = 10.0
_PRUNE_S = 3600.0
_PATIENCE_S = 5.0  # a node that looks for its server does not hear SIGTERM meanwhile


class Node:
    """One participant's node.

    Args:
        folder: the startup kit.
        scratch: writable; holds NVFlare's workspace and the node's files.
        settings: environment variables for NVFlare's process, beside this process's own.
    """

    def __init__(self, folder: Path, scratch: Path, settings: dict[str, str]) -> None:
        self.folder, self.scratch, self.settings = folder, scratch, settings
        self.kit: Kit = load_kit(folder)
        if self.kit.role not in ("site", "server"):
            raise KitError(
                "MS-K026", f"this is a kit of an {self.kit.role}, and a node is a site or a server"
            )
        self.stop = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.state: State = "starting"
        self.since = utc()
        self.error: MediSwarmError | None = None
        self.heartbeat: float | None = None
        self._wait, self._next_start = _FIRST_WAIT_S, 0.0
        self._started = self._probed = self._said = 0.0
        self._next_prune = 0.0
        self._unsaid: str | None = None
        self._reachable_since: float | None = None

    def run(self) -> int:
        """Keep the node going until SIGTERM or SIGINT.

        Returns:
            the exit code: 0, or that of the error that the node was refused with.

        Raises:
            HostError: MS-N008 when another node lives on this scratch directory; MS-H004 when it was stopped
                before there was room on the disk.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        with self._lock():
            adopt_orphans()
            self._enter("starting")
            try:
                while not self.stop.wait(_TICK_S):
                    self._step()
            finally:
                end_family(self.process)
            refused = self.state == "refused"
            self.process = None
            self._enter("stopped", self.error)
        return self.error.exit_code if refused and self.error else 0

    def _lock(self) -> IO[str]:
        """Take the scratch directory; where its disk is too full even for that, as soon as it is not."""
        while True:
            try:
                return take_lock(self.scratch)
            except HostError as error:
                if error.code != "MS-H004":
                    raise
                self._print(f"node {self.kit.name}: it is tried again\n{error.describe()}")
                if self.stop.wait(_LONGEST_WAIT_S):
                    raise

    def _step(self) -> None:
        if self.process is not None:
            self.process.poll()  # once dead it would hide the orphans behind it
        bury(besides=self.process.pid if self.process else None)
        if time.monotonic() >= self._next_prune:
            self._prune()
        if self.state != "refused" and self._has_room():
            if self.process is None:
                if time.monotonic() >= self._next_start:
                    self._guarded(self._start)
            elif self.process.poll() is not None:
                self._ended(self.process.returncode)
            elif self.kit.role == "site":
                self._watch_site()
            else:
                self._watch_server()
        if time.monotonic() - self._said > _SAY_S:
            self._say()

    def _has_room(self) -> bool:
        """Whether the node can work; on a full disk a site's sign of life is not written, but it may live."""
        try:
            require_space(self.scratch)
        except (HostError, OSError) as error:
            full = disk_error(error, self.scratch) if isinstance(error, OSError) else error
            self._reachable_since = None  # NVFlare gets its time to be heard of again
            if self.error is None or self.error.code != full.code:
                self._enter("connecting", full)
            return False
        return True

    def _prune(self) -> None:
        """Remove what runs have left that are long over, and say what."""
        self._next_prune = time.monotonic() + _PRUNE_S
        try:
            for line in prune(self.scratch / "workspace", at_work()):
                self._print(f"node {self.kit.name}: {line}")
        except OSError as error:
            self._print(f"node {self.kit.name}: {disk_error(error, self.scratch).describe()}")

    def _guarded(self, act: Callable[[], None]) -> None:
        """What another kit must mend ends the attempts; all else is tried again later."""
        try:
            act()
        except OSError as error:
            self._enter("connecting", disk_error(error, self.scratch))
            self._postpone()
        except KitError as error:
            self._enter("refused", error)
        except MediSwarmError as error:
            self._enter("connecting", error)
            self._postpone()

    def _start(self) -> None:
        verify_kit(self.folder)
        certificates = load_certificates(self.folder, self.kit.role)
        check_validity(certificates)
        if self.kit.role == "site":
            probe_server(self.kit.server, certificates, _PATIENCE_S)
        else:
            require_free_port(self.kit.server.port)
        workspace = prepare_workspace(self.folder, self.scratch)
        (self.scratch / REGISTRATION_FILE).unlink(missing_ok=True)
        self.process = start_nvflare(self.kit, workspace, self.scratch, self.settings)
        self._started = self._probed = time.monotonic()
        self._reachable_since = self._started
        self._enter("connecting")

    def _ended(self, code: int) -> None:
        end_family(None, grace=1.0)
        self.process = None
        said = read_json(self.scratch / REGISTRATION_FILE)
        if self.kit.role == "site" and said.get("state") == "refused":
            self._guarded(lambda: self._turned_away(str(said.get("reason"))))
            return
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._enter("connecting", RunCrashed("MS-N011", f"it ended with {why}", file=self.scratch / LOG_FILE))
        self._postpone()

    def _watch_site(self) -> None:
        said = read_json(self.scratch / REGISTRATION_FILE)
        if said.get("state") == "refused":
            self._restart(lambda: self._turned_away(str(said.get("reason"))))
            return
        self.heartbeat = said.get("at", self.heartbeat)
        silent = time.time() - said["at"] if said else None
        if silent is not None and silent < _SILENT_S:
            self._wait = _FIRST_WAIT_S
            if self.state != "registered":
                self._enter("registered")
            return
        if time.monotonic() - self._probed < _PROBE_S:
            return
        self._probed = time.monotonic()
        try:
            probe_server(self.kit.server, load_certificates(self.folder, self.kit.role), _PATIENCE_S)
        except KitError as error:
            end_family(self.process)
            self.process = None
            self._enter("refused", error)
            return
        except MediSwarmError as error:
            self._reachable_since = None
            self._enter("connecting", error)
            return
        self._reachable_since = self._reachable_since or self._probed
        reachable = self._probed - self._reachable_since
        waited = silent or self._probed - self._started
        if waited < _SILENT_S:
            return
        lost = SessionError("MS-N012", f"the server is there, but has not answered for {waited:.0f} s")
        self._enter("connecting", lost)
        if (silent is None and reachable > _UNREGISTERED_S) or (
            (silent or 0) > _LOST_S and reachable > _RETURN_S
        ):
            self._restart(lambda: self._enter("connecting", lost))

    def _watch_server(self) -> None:
        if time.monotonic() - self._probed < (_PROBE_S if self.state == "serving" else 1.0):
            return
        self._probed = time.monotonic()
        if is_listening(self.kit.server.port):
            self._wait = _FIRST_WAIT_S
            if self.state != "serving":
                self._enter("serving")
        elif self.state == "serving":
            self._enter("connecting", SessionError("MS-N010", "NVFlare's server does not listen on its port"))

    def _restart(self, then: Callable[[], None]) -> None:
        end_family(self.process)
        self.process = None
        self._guarded(then)
        self._postpone()

    def _turned_away(self, reason: str) -> None:
        """The error for the server's no; a second node by the guard, else whatever NVFlare said."""
        if "disabled" in reason:
            raise SessionError("MS-N012", f"the server said: {reason}")
        raise KitError("MS-K023", f"a node of {self.kit.name} is registered and alive")

    def _postpone(self) -> None:
        # never in step: nodes that share a kit by mistake would cut each other's connection for ever
        self._next_start = time.monotonic() + self._wait * random.uniform(0.7, 1.3)  # noqa: S311
        self._wait = min(2 * self._wait, _LONGEST_WAIT_S)

    def _enter(self, state: State, error: MediSwarmError | None = None) -> None:
        if (state, error and error.code) != (self.state, self.error and self.error.code):
            self.since = utc() if state != self.state else self.since
            tried = "" if state in ("refused", "stopped") else "; it is tried again"
            text = f"node {self.kit.name}: {state}" + (
                f"{tried}\n{error.describe()}" if error and state != "stopped" else ""
            )
            self._print(text)
        self.state, self.error = state, error
        self._say()

    def _print(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _say(self) -> None:
        self._said = time.monotonic()
        try:
            self._write_state()
            self._unsaid = None
        except OSError as error:  # whoever asks is told by the age of what the node said last
            unsaid = disk_error(error, self.scratch)
            if unsaid.code != self._unsaid:
                self._print(f"node {self.kit.name}: it cannot be said how it is\n{unsaid.describe()}")
            self._unsaid = unsaid.code

    def _write_state(self) -> None:
        write_state(
            self.scratch,
            NodeState(
                state=self.state,
                since=self.since,
                seen=utc(),
                role=self.kit.role,
                name=self.kit.name,
                federation=self.kit.federation,
                generation=self.kit.generation,
                server=f"{self.kit.server.name}:{self.kit.server.port}",
                error=self.error.as_dict() if self.error else None,
                pid=self.process.pid if self.process else None,
                heartbeat=utc(self.heartbeat) if self.heartbeat else None,
                image=os.environ.get(IMAGE),
            ),
        )


def require_free_port(port: int) -> None:
    """Raises HostError MS-N013 when something listens on `port` already."""
    if is_listening(port):
        raise HostError("MS-N013", f"something listens on port {port} already")


def is_listening(port: int) -> bool:
    """Whether a TCP connection to `port` of this machine comes about."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0):
            return True
    except OSError:
        return False
