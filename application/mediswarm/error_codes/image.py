"""Codes of container images."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    "MS-I001": ErrorCode(
        "The Docker engine does not answer",
        "Start Docker, and give this account access to it; `docker info` must answer.",
    ),
    "MS-I002": ErrorCode(
        "There is no recipe for an image of this name",
        "Run the command in a checkout of MediSwarm, with a name from `docker_config/Dockerfile_NAME`.",
    ),
    "MS-I003": ErrorCode(
        "An image could not be built",
        "Mend what the last lines of the build name; what was built before is kept.",
    ),
    "MS-I004": ErrorCode(
        "An image is not there, or is none of MediSwarm's",
        "Pull or build it first; `mediswarm image list` shows those on this machine.",
    ),
    "MS-I005": ErrorCode(
        "A package's licence does not allow what MediSwarm's does",
        "Replace the package: copyleft (GPL, AGPL) would bind all that is handed on with it.",
    ),
}
