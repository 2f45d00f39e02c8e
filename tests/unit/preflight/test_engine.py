"""The container engine as docker.sh tells of it."""

from __future__ import annotations

import pytest

from mediswarm.preflight.engine import check_engine


@pytest.mark.parametrize(
    ("version", "driver", "device", "codes"),
    [
        (None, None, "cuda", []),
        ("28.2.2", "cgroupfs", "cuda", [None]),
        ("28.2.2", "systemd", "cpu", [None]),
        ("28.2.2", "systemd", "cuda", [None, "MS-N020"]),
        ("20.10.24+dfsg1", "cgroupfs", "cpu", [None]),
        ("19.03.15", "cgroupfs", "cpu", ["MS-N021"]),
        ("unreadable", None, "cpu", ["MS-N021"]),
    ],
)
def test_docker_and_its_cgroup_driver(
    version: str | None, driver: str | None, device: str, codes: list[str | None]
) -> None:
    """R14."""
    said = {
        "MEDISWARM_DOCKER_VERSION": version,
        "MEDISWARM_CGROUP_DRIVER": driver,
        "MEDISWARM_DEVICE": device,
    }
    found = check_engine({key: value for key, value in said.items() if value})
    assert [finding.code for finding in found] == codes
