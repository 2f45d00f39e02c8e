"""Codes of a site's or server's running node: network, certificates at work, registration."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # the way to the server
    "MS-N001": ErrorCode(
        "The server's name cannot be resolved",
        "Ask the hospital's IT for DNS of that name, or start the VPN that knows it.",
    ),
    "MS-N002": ErrorCode(
        "The server's port refuses connections",
        "Ask the operator whether the server is running; the site tries again by itself.",
    ),
    "MS-N003": ErrorCode(
        "The server does not answer",
        "Ask the hospital's IT to allow outgoing TCP to that host and port, or start the VPN.",
    ),
    "MS-N004": ErrorCode(
        "No TLS connection to the server comes about",
        "A proxy or firewall may cut TLS: ask the hospital's IT to pass this connection through unopened.",
    ),
    "MS-N005": ErrorCode(
        "The server does not accept this participant's certificate",
        "Ask the operator for a new startup kit; if this one has not ended, check both clocks.",
    ),
    "MS-N006": ErrorCode(
        "A certificate is not valid yet: it is the clock",
        "Set this machine's clock by NTP; the certificates are good.",
    ),
    "MS-N007": ErrorCode(
        "The server's certificate has ended, or is for another name",
        "Ask the operator; the server needs a renewed kit. Check this machine's clock first.",
    ),
    # the node
    "MS-N008": ErrorCode(
        "The scratch directory is in use by another node",
        "Stop the other node first, or give this one a scratch directory of its own.",
    ),
    "MS-N009": ErrorCode(
        "No node is running here",
        "Start it: `./docker.sh --start_client` at a site, `./docker.sh --start_server` at the server.",
    ),
    "MS-N010": ErrorCode(
        "The node is running but not in touch with the federation",
        "Wait a minute; if it stays so, run `./docker.sh --preflight_check` and read `./docker.sh --logs`.",
    ),
    "MS-N011": ErrorCode(
        "NVFlare's process ended and is started again",
        "Read the node's log; if this goes on, send it to the operator.",
    ),
    "MS-N012": ErrorCode(
        "The server is there but does not register this site",
        "Ask the operator whether the site is disabled, or whether the server is still starting.",
    ),
    "MS-N013": ErrorCode(
        "The server's port is taken on this machine",
        "Stop the process that listens there (`ss -ltnp` names it), then start the server again.",
    ),
    "MS-N014": ErrorCode(
        "The bandwidth to the server was not measured",
        "Nothing to do; the round budget must leave time for the model's upload and download.",
    ),
    "MS-N015": ErrorCode(
        "The way to the server is slow",
        "Ask the operator for a round budget that leaves time for it, or for exchange.precision float16.",
    ),
    # the container engine
    "MS-N020": ErrorCode(
        "Docker hands GPUs to containers through systemd cgroups, which can take them away again",
        'Set "exec-opts": ["native.cgroupdriver=cgroupfs"] in /etc/docker/daemon.json and restart Docker.',
    ),
    "MS-N021": ErrorCode(
        "Docker is older than what MediSwarm is tested with",
        "Update Docker to 20.10 or later.",
    ),
    "MS-N022": ErrorCode(
        "Docker is missing, or does not answer this account",
        "Install or start Docker Engine 20.10 or later, and add the account to the group docker.",
    ),
    "MS-N023": ErrorCode(
        "The image of the startup kit is not there and cannot be fetched",
        "Log in to the registry (`docker login`), or load the image from a file (`docker load`).",
    ),
    "MS-N024": ErrorCode(
        "The image on this machine is not the one that the startup kit names",
        "Remove that image and let docker.sh fetch the right one, or ask the operator for a new kit.",
    ),
    "MS-N025": ErrorCode(
        "The Docker engine did not start the container",
        "Read what Docker said. For a GPU it needs the NVIDIA Container Toolkit; --GPU none does without.",
    ),
    # startup kits at work
    "MS-K020": ErrorCode(
        "The startup kit is of another generation than the server's",
        "Ask the operator for the new startup kit, and start with that one.",
    ),
    "MS-K021": ErrorCode(
        "The startup kit's certificate has ended",
        "Ask the operator for a renewed startup kit.",
    ),
    "MS-K022": ErrorCode(
        "The startup kit is of another federation than the server",
        "Ask the operator whether server name and port are right; a proxy that opens TLS shows the same.",
    ),
    "MS-K023": ErrorCode(
        "Another node runs with the same startup kit",
        "Stop the other node; 30 s later start this one. Every site needs a kit of its own.",
    ),
    "MS-K024": ErrorCode(
        "The startup kit's certificate or key cannot be used",
        "Unpack the kit's archive again; if that does not help, ask the operator for a new kit.",
    ),
    "MS-K025": ErrorCode(
        "The startup kit's certificate ends soon",
        "Ask the operator for a renewed startup kit in time.",
    ),
    "MS-K026": ErrorCode(
        "The startup kit is for another role",
        "Use a site's kit at a site, the server's kit at the server.",
    ),
}
