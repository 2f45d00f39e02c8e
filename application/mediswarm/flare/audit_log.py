"""NVFlare's audit log, bounded: NVFlare 2.9 writes to one file that grows as long as the process lives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from nvflare.apis.workspace import Workspace
from nvflare.fuel.sec.audit import Auditor, AuditService

_BYTES, _FILES = 20 << 20, 10
"""As NVFlare's log_config.json bounds its other logs."""


class BoundedAuditor(Auditor):
    """Writes as NVFlare's auditor does, and begins a new file when one is full.

    Args:
        audit_file_name: the present file; former ones are beside it, `.1` being the latest.
        limit: bytes of a file.
        former: how many former files are kept.
    """

    audit_file: Any

    def __init__(self, audit_file_name: str, limit: int = _BYTES, former: int = _FILES) -> None:
        super().__init__(audit_file_name)
        self.audit_file.close()
        self.audit_file = _Rotating(audit_file_name, limit, former)


class _Rotating:
    """As much of a file as NVFlare's auditor uses, which holds its lock at each call.

    No handler of `logging`: NVFlare configures logging later, and that closes all handlers there are.
    """

    def __init__(self, name: str, limit: int, former: int) -> None:
        self._limit = limit
        self._names = [Path(name), *(Path(f"{name}.{number}") for number in range(1, former + 1))]
        self._open()

    def write(self, line: str) -> None:
        if self._stream.tell() + len(line.encode()) > self._limit:
            self._stream.close()
            for present, former in reversed(list(pairwise(self._names))):
                if present.exists():
                    present.replace(former)
            self._open()
        self._stream.write(line)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()

    def _open(self) -> None:
        self._stream = self._names[0].open("a", encoding="utf-8")


def bound_audit_log(arguments: Sequence[str]) -> None:
    """Give NVFlare's process with these arguments a bounded audit log; it keeps the auditor it finds."""
    workspace = Workspace(arguments[arguments.index("-m") + 1])
    AuditService.the_auditor = BoundedAuditor(workspace.get_audit_file_path())
