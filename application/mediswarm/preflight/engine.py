"""The container engine, as docker.sh describes it: from inside a container it cannot be seen."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mediswarm.data.findings import Finding
from mediswarm.errors import HostError

DOCKER_VERSION, CGROUP_DRIVER, DEVICE = (
    "MEDISWARM_DOCKER_VERSION",
    "MEDISWARM_CGROUP_DRIVER",
    "MEDISWARM_DEVICE",
)
_OLDEST = (20, 10)


def check_engine(environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Docker's version and cgroup driver (R14); nothing outside of a container of ours.

    With the systemd driver, a `systemctl daemon-reload` on the host takes the GPU devices away from
    running containers (NVIDIA's container toolkit documents it).
    """
    version, driver = environment.get(DOCKER_VERSION), environment.get(CGROUP_DRIVER)
    if not version:
        return []
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    findings = [Finding.passed("Docker", f"version {version}, cgroup driver {driver or 'unknown'}")]
    if numbers < _OLDEST:
        findings = [_warning("Docker", HostError("MS-N021", f"version {version}"))]
    if driver == "systemd" and environment.get(DEVICE, "cpu") != "cpu":
        findings.append(
            _warning("cgroup driver", HostError("MS-N020", "the driver is systemd, and a GPU is used"))
        )
    return findings


def _warning(subject: str, error: HostError) -> Finding:
    return Finding("WARN", subject, error.message, error.code, error.repair)
