"""Which error a fault in a YAML file is: its class and codes follow from what kind of file it is."""

from __future__ import annotations

from typing import NamedTuple

from mediswarm.errors import FederationError, JobError, MediSwarmError


class FileErrors(NamedTuple):
    """The class of a file's errors, and the code of each fault."""

    kind: type[MediSwarmError]
    unreadable: str
    not_yaml: str
    unknown_key: str
    missing_key: str
    value: str
    contradiction: str
    duplicate_key: str
    outside: str


JOB_FILE = FileErrors(
    JobError,
    unreadable="MS-J001",
    not_yaml="MS-J002",
    unknown_key="MS-J003",
    missing_key="MS-J004",
    value="MS-J005",
    contradiction="MS-J006",
    duplicate_key="MS-J008",
    outside="MS-J011",
)
FEDERATION_FILE = FileErrors(
    FederationError,
    unreadable="MS-F001",
    not_yaml="MS-F002",
    unknown_key="MS-F003",
    missing_key="MS-F004",
    value="MS-F005",
    contradiction="MS-F006",
    duplicate_key="MS-F007",
    outside="MS-F005",
)
