"""A federation of real processes on this machine: real kits, mutual TLS, and nothing left over at the end.

with Federation(tmp_path) as federation:
    federation.start()
    run = federation.submit("smoke")
    federation.wait_for(run, finished, 60, "the run ends")
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from typing_extensions import Self

from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.process_family import end_with_parent
from mediswarm.flare.run_state import Run, RunState, SegmentEntry
from mediswarm.provision.provisioning import Provisioned, provision
from mediswarm.spec import federation as spec

ADMIN = "operator@example.org"
MEDISWARM = [sys.executable, "-c", "from mediswarm.cli import main; main()"]
_JOB_PROCESS = (
    "nvflare.private.fed.app.client.worker_process",
    "nvflare.private.fed.app.server.runner_process",
)


def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(happened: Callable[[], Any], within: float, what: str | Callable[[], str]) -> Any:
    """What `happened` gives as soon as it is true; an AssertionError with `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        if found := happened():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"within {within:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.05)


class Federation:
    """One server, sites, and an operator, each with its kit and folders below `folder`.

    Args:
        folder: holds kits, scratch and data directories, logs, and the operator's state.
        sites: their names.
        server: name or address that the sites reach it by.
        port: of the server; a free one if left out.
        sections: replace sections of the federation file.
    """

    def __init__(
        self,
        folder: Path,
        sites: Iterable[str] = ("site-1", "site-2", "site-3"),
        server: str = "localhost",
        port: int | None = None,
        **sections: Any,
    ) -> None:
        self.folder, self.sites = folder, list(sites)
        self.server, self.port = server, port or free_port()
        self._sections = sections
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.wrapper: dict[str, list[str]] = {}
        """A command that a node is started with, such as one that puts it into another network."""
        self.files = OperatorFiles(folder / "state")
        self.kits = self.provision().kits

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def provision(self, into: str = "provisioned", **sections: Any) -> Provisioned:
        """Make the kits of all `sites`, or bring them up to date."""
        document = {
            "name": "test",
            "server": {"name": self.server, "organisation": "example", "port": self.port},
            "sites": [
                {"name": site, "organisation": "example", "allow_job_code": True} for site in self.sites
            ],
            "admins": [{"name": ADMIN, "organisation": "example"}],
            "images": {"sites": "mediswarm/cifar10:test"},
        }
        federation = spec.Federation.model_validate(document | self._sections | sections)
        return provision(federation, self.folder / into)

    # -- nodes ------------------------------------------------------------------------------------

    @property
    def everyone(self) -> list[str]:
        """The server and the sites."""
        return [self.server, *self.sites]

    def scratch(self, node: str) -> Path:
        """The node's scratch directory."""
        return self.folder / "scratch" / node

    def data(self, node: str) -> Path:
        """The node's data directory."""
        return self.folder / "data" / node

    def start(self, *names: str, within: float = 90.0) -> float:
        """Start nodes (default: all that do not run), and wait until they are healthy; gives the seconds."""
        begun = time.monotonic()
        names = names or tuple(name for name in self.everyone if name not in self.nodes)
        for name in names:
            self.launch(name)
        self.healthy(*names, within=within)
        return time.monotonic() - begun

    def launch(self, name: str, kit: Path | None = None) -> None:
        """Start a node, and do not wait for it."""
        assert name not in self.nodes, f"{name} runs"
        for place in (self.scratch(name), self.data(name)):
            place.mkdir(parents=True, exist_ok=True)
        (self.scratch(name) / "node.json").unlink(missing_ok=True)  # what an earlier node said of itself
        folders = [
            "--kit",
            kit or self.kits / name,
            "--scratch",
            self.scratch(name),
            "--data",
            self.data(name),
        ]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.nodes[name] = subprocess.Popen(
                [*self.wrapper.get(name, []), *MEDISWARM, "node", "run", *map(str, folders)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - whatever becomes of the tests, no node stays
            )

    def healthy(self, *names: str, within: float = 90.0) -> None:
        """Wait until nodes are in touch: the server serves, sites are registered."""
        for name in names:
            wanted = "serving" if name == self.server else "registered"
            until(
                lambda name=name, wanted=wanted: self.state(name).get("state") == wanted,
                within,
                lambda name=name, wanted=wanted: f"{name} is {wanted}, but {self.state(name)}",
            )

    def state(self, name: str) -> dict[str, Any]:
        """What a node says about itself; empty when it has said nothing yet."""
        file = self.scratch(name) / "node.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    def log(self, name: str) -> str:
        """What a node, its NVFlare and its jobs have printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def processes_of(self, name: str) -> list[psutil.Process]:
        """All processes of a node: it, NVFlare, and those of jobs, orphans among them."""
        return _naming(self.scratch(name))

    def job_processes_of(self, name: str) -> list[psutil.Process]:
        """The processes of NVFlare jobs at a node."""
        return [process for process in self.processes_of(name) if _arguments(process) & {*_JOB_PROCESS}]

    def kill(self, name: str, hard: bool = True) -> None:
        """End a node: as a power cut would, or by asking it to stop."""
        node = self.nodes.pop(name)
        if not hard:
            node.send_signal(signal.SIGTERM)
            node.wait(30)
            return
        _kill(self.processes_of(name))
        node.wait(10)

    def restart(self, name: str, within: float = 90.0) -> float:
        """Start a node again on the same kit and scratch directory; gives the seconds until it is healthy."""
        if name in self.nodes:
            self.kill(name, hard=False)
        return self.start(name, within=within)

    # -- the operator -----------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """Of all processes: the operator's kit and state directory, one thread each."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("MEDISWARM_")}
        return {
            **own,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "MEDISWARM_KIT": str(self.kits / ADMIN),
            "MEDISWARM_STATE_DIR": str(self.files.state_dir),
        }

    def cli(self, *arguments: str | Path, within: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run the operator's command line; its exit code is the caller's to judge."""
        return subprocess.run(
            [*MEDISWARM, *map(str, arguments)],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def submit(self, job: str | Path, *options: str) -> str:
        """Submit a job, by its name or its folder; gives the run's id."""
        said = self.cli("submit", job, *options)
        assert said.returncode == 0, said.stderr
        return said.stdout.strip()

    def run(self, run_id: str) -> Run:
        """The run as the operator's state says."""
        with RunState(self.files.database) as state:
            return state.run(run_id)

    def segments(self, run_id: str) -> list[SegmentEntry]:
        """The run's segments as the operator's state says."""
        with RunState(self.files.database) as state:
            return state.segments(run_id)

    def unfinished(self) -> list[str]:
        """Ids of the runs that have not ended."""
        with RunState(self.files.database) as state:
            return [run.id for run in state.runs() if not run.finished]

    def record(self, run_id: str) -> dict[str, Any]:
        """The run record at the operator; empty before the first round."""
        return self.files.record(run_id)

    def events(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        """The events of a kind that have come to the operator."""
        return [event for event in self.files.known_events(run_id) if event["event"] == kind]

    def wait_for(
        self, run_id: str, happened: Callable[[Run, dict[str, Any]], Any], within: float, what: str
    ) -> float:
        """Wait for a condition on a run's state and record; gives the seconds.

        Raises:
            AssertionError: after `within` seconds, or when the run ends without it.
        """
        begun = time.monotonic()

        def looked_at() -> bool:
            run, record = self.run(run_id), self.record(run_id)
            if happened(run, record):
                return True
            assert not run.finished, f"{what}; but the run has {run.state}: {run.error}\n{self._logs()}"
            return False

        until(looked_at, within, lambda: f"{what}; {self.run(run_id)}\n{self._logs()}")
        return time.monotonic() - begun

    def ended(self, run_id: str, within: float = 120.0) -> dict[str, Any]:
        """The record of a run, when it has ended."""
        self.wait_for(run_id, finished, within, "the run ends")
        return self.record(run_id)

    def supervisor(self) -> psutil.Process | None:
        """The operator's supervisor, if one is at work."""
        found = [
            process
            for process in _naming(self.files.state_dir)
            if "mediswarm.flare.supervisor_process" in _arguments(process)
        ]
        return found[0] if found else None

    def close(self) -> None:
        """End everything that was started, whatever state it is in."""
        _kill(_naming(self.folder))
        for node in self.nodes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(10)
        self.nodes.clear()

    def _logs(self) -> str:
        log = self.files.log
        return log.read_text()[-3000:] if log.is_file() else ""


def finished(run: Run, record: dict[str, Any]) -> bool:
    """For `wait_for`: the run has ended, however."""
    return run.finished


def _naming(place: Path) -> list[psutil.Process]:
    """The processes whose command line names a path at or below `place`, and their descendants."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if any(word == str(place) or word.startswith(f"{place}/") for word in _arguments(process)):
            with contextlib.suppress(psutil.Error):
                for member in (process, *process.children(recursive=True)):
                    found[member.pid] = member
    return [process for process in found.values() if _alive(process)]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _arguments(process: psutil.Process) -> set[str]:
    try:
        return set(process.cmdline())
    except psutil.Error:
        return set()


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


@contextlib.contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    """Processes that live and do nothing, as on a machine that swaps or was suspended."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.resume()
