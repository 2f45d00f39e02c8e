"""Every error MediSwarm raises on purpose.

::

    MediSwarmError            exit 1
    ├── UsageError            exit 2   a command was called with something that cannot be
    ├── JobError              exit 3   job.yml or the files beside it
    ├── PipelineError         exit 3   a pipeline breaks the pipeline interface
    ├── DataError             exit 4   a site's data
    ├── ContractError         exit 5   sites do not agree on what is trained
    ├── RunFailed             exit 6   the run's own doing: diverged, quorum missed, nothing learned
    ├── RunCrashed            exit 7   infrastructure: a process, the network, a full disk
    ├── RunTimedOut           exit 8   the round budget ended
    ├── ArtefactError         exit 9   a checkpoint, or pretrained weights, that are not what they claim
    ├── HostError             exit 10  this machine lacks something
    ├── FederationError       exit 11  a federation file, or what was provisioned from it
    ├── KitError              exit 12  a startup kit: incomplete, changed, expired, of another generation
    ├── ImageError            exit 13  a container image cannot be built or is not the one declared
    └── SessionError          exit 14  the server cannot be reached, or refuses what was asked

Codes are stable: a script may match on them. What each means and how it is
resolved stands in :mod:`mediswarm.error_codes`, from which ``docs/errors.md``
is generated.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from mediswarm.error_codes import ERROR_CODES


class MediSwarmError(Exception):
    """An error with a stable code, the place it is at and the way to repair it.

    Args:
        code: a key of :data:`mediswarm.error_codes.ERROR_CODES`.
        message: one sentence that says which rule was broken, and by what.
        repair: one sentence that says what to do now; the table's own advice if omitted.
        file: the file concerned, if there is one.
        line: the line in that file, counted from 1.
    """

    exit_code = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        repair: str | None = None,
        file: Path | str | None = None,
        line: int | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.repair = repair or ERROR_CODES[code].resolve
        self.file = str(file) if file is not None else None
        self.line = line
        super().__init__(self.describe())

    @property
    def place(self) -> str:
        """``file:line``, ``file`` or the empty string."""
        if self.file is None:
            return ""
        return f"{self.file}:{self.line}" if self.line is not None else self.file

    def describe(self) -> str:
        """The error as plain text: code, place, rule, repair."""
        where = f"{self.place}: " if self.place else ""
        return f"error[{self.code}] {where}{self.message}\n  hint: {self.repair}"

    def as_dict(self) -> dict[str, Any]:
        """The error for machines (``--json``)."""
        return {
            "code": self.code,
            "message": self.message,
            "repair": self.repair,
            "file": self.file,
            "line": self.line,
            "exit_code": self.exit_code,
        }

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.repair, self.file, self.line))


def _rebuild(
    kind: type[MediSwarmError], code: str, message: str, repair: str, file: str | None, line: int | None
) -> MediSwarmError:
    return kind(code, message, repair=repair, file=file, line=line)


class UsageError(MediSwarmError):
    """A command was called with something that cannot be."""

    exit_code = 2


class JobError(MediSwarmError):
    """job.yml or the files beside it."""

    exit_code = 3


class PipelineError(MediSwarmError):
    """A pipeline breaks the pipeline interface."""

    exit_code = 3


class DataError(MediSwarmError):
    """A site's data, or a table made from it."""

    exit_code = 4


class ContractError(MediSwarmError):
    """Sites do not agree on what is trained."""

    exit_code = 5


class RunFailed(MediSwarmError):
    """The run's own doing: diverged, quorum missed, nothing learned."""

    exit_code = 6


class RunCrashed(MediSwarmError):
    """Infrastructure: a process, the network, a full disk."""

    exit_code = 7


class RunTimedOut(MediSwarmError):
    """The round budget ended."""

    exit_code = 8


class ArtefactError(MediSwarmError):
    """A checkpoint, or pretrained weights, that are not what they claim."""

    exit_code = 9


class HostError(MediSwarmError):
    """This machine lacks something."""

    exit_code = 10


class FederationError(MediSwarmError):
    """A federation file, or what was provisioned from it."""

    exit_code = 11


class KitError(MediSwarmError):
    """A startup kit that is incomplete, changed, expired or of another generation."""

    exit_code = 12


class ImageError(MediSwarmError):
    """A container image that cannot be built, or is not the one declared."""

    exit_code = 13


class SessionError(MediSwarmError):
    """The server cannot be reached, or refuses what was asked."""

    exit_code = 14


def error_from_dict(said: dict[str, Any]) -> MediSwarmError:
    """The error that :meth:`MediSwarmError.as_dict` described, of the class its exit code names."""
    kinds = {kind.exit_code: kind for kind in MediSwarmError.__subclasses__() if kind is not PipelineError}
    kind = kinds.get(said.get("exit_code", 1), MediSwarmError)
    return kind(said["code"], said["message"], repair=said["repair"], file=said["file"], line=said["line"])


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the operating system says of a full disk, or of an account's share of it that is used up."""


def code_of(error: BaseException) -> str:
    """The stable code that may leave a site for `error`; raw exception text never does."""
    if isinstance(error, MediSwarmError):
        return error.code
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "MS-H003"
    # what PyTorch says of a CPU's memory has no class of its own
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error):
        return "MS-H003"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return "MS-H004"
    return "MS-R001"
