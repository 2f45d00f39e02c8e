"""Site processes of a simulation, forked from one process that has imported everything.

NVFlare 2.9's simulator starts a new interpreter for every site; with torch each
spends seconds of CPU time on the same imports, before a first round on these few
cores. Here the sites are forked beforehand, wait for the command line that the
simulator would have started them with, and share the imported pages. If NVFlare
starts its workers in another way one day, its own way is taken unchanged.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from nvflare.private.fed.app.simulator import simulator_runner, simulator_worker

from mediswarm.flare.build_job import REQUEST_INTERVAL_S

_WORKER_MODULE = "nvflare.private.fed.app.simulator.simulator_worker"
_LISTEN_S = 5.0


def install(count: int, register: Path) -> None:
    """Fork `count` idle workers, and let the simulator take them.

    Call it after the imports and before any thread is started.

    Args:
        count: how many sites there will be.
        register: a JSON file that tells the process id of each site.
    """
    idle: list[_WarmWorker] = []
    for _ in range(count):
        idle.append(_WarmWorker(idle))
    simulator_runner.subprocess = _Subprocess(idle, register)


class _Subprocess:
    """Stands for the subprocess module inside the simulator's runner."""

    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self, idle: list[_WarmWorker], register: Path) -> None:
        self.idle, self.register = idle, register
        self.pids: dict[str, int] = {}
        self.writing = threading.Lock()  # the simulator starts each site from a thread of its own

    def Popen(self, command: Sequence[str], **options: Any) -> Any:  # noqa: N802 - subprocess's name
        """A warm worker for a worker's command line, and a process for any other."""
        if list(command[1:3]) != ["-m", _WORKER_MODULE] or not self.idle:
            return subprocess.Popen(command, **options)  # noqa: S603 - NVFlare's own command
        worker = self.idle.pop()
        arguments = list(command[3:])
        worker.begin(arguments, options.get("env") or dict(os.environ))
        with self.writing:
            self.pids[_value(arguments, "--client")] = worker.pid
            partial = self.register.with_suffix(".partial")
            partial.write_text(json.dumps(self.pids))
            partial.replace(self.register)
        worker.wait_until_listening(int(_value(arguments, "--port")))
        return worker


class _WarmWorker:
    """A forked process that waits for its command line; then it is like a Popen."""

    def __init__(self, elder: list[_WarmWorker]) -> None:
        reader, self.writer = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            # a pipe ends for its reader when the last writer closes it: keep none open here
            for worker in (*elder, self):
                os.close(worker.writer)
            _live(reader)
        os.close(reader)

    def begin(self, arguments: list[str], environment: dict[str, str]) -> None:
        with os.fdopen(self.writer, "wb") as stream:
            pickle.dump((arguments, environment), stream)

    def wait_until_listening(self, port: int) -> None:
        """The runner sleeps for a second when its first connection is refused."""
        end = time.monotonic() + _LISTEN_S
        while time.monotonic() < end and self.poll() is None:
            with contextlib.suppress(psutil.Error):
                if any(entry.laddr.port == port for entry in psutil.Process(self.pid).net_connections("tcp")):
                    return
            time.sleep(0.01)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(_WORKER_MODULE, timeout)
            time.sleep(0.05)
        return code

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class _Impatient:
    """Stands for the time module inside the simulator's worker.

    NVFlare 2.9's worker sleeps for half a second whenever the server has no task
    yet, whatever the job's task_request_interval; each round would pay for it.
    """

    time = time.time

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(min(seconds, REQUEST_INTERVAL_S))


def _live(reader: int) -> None:
    """What a forked worker does until it exits; it never returns."""
    code = 1
    try:
        os.setsid()
        with os.fdopen(reader, "rb") as stream:
            said = stream.read()
        if said:
            arguments, environment = pickle.loads(said)  # noqa: S301 - from our own parent, through a pipe
            os.environ.update(environment)
            sys.argv = [_WORKER_MODULE, *arguments]
            simulator_worker.time = _Impatient
            parsed = simulator_worker.parse_arguments()
            simulator_worker.mpm.run(main_func=simulator_worker.main, run_dir=parsed.workspace, args=parsed)
        code = 0
    finally:
        os._exit(code)


def _value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]
