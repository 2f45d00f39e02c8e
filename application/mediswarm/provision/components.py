"""What of ours NVFlare loads in every server and site, and the classes that jobs may name."""

from __future__ import annotations

from typing import Any, NamedTuple


class Component(NamedTuple):
    """An entry of `components` in a node's `local/resources.json`."""

    id: str
    path: str
    args: dict[str, Any]


SITE_COMPONENTS: tuple[Component, ...] = (
    Component("local_sockets", "mediswarm.flare.local_socket_driver.LocalSockets", {}),
    Component("registration", "mediswarm.flare.registration.SiteRegistration", {}),
)
SERVER_COMPONENTS: tuple[Component, ...] = (
    Component("local_sockets", "mediswarm.flare.local_socket_driver.LocalSockets", {}),
    Component("registration_guard", "mediswarm.flare.registration.RegistrationGuard", {}),
    Component("server_start", "mediswarm.flare.server_start.ServerStart", {}),
)
