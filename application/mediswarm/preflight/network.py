"""The way to the server, step by step: name, port, TLS and whose server it is."""

from __future__ import annotations

import time
from pathlib import Path

from mediswarm.data.findings import Finding
from mediswarm.errors import MediSwarmError
from mediswarm.preflight.bandwidth import check_bandwidth
from mediswarm.spec.certificate import load_certificates, when
from mediswarm.spec.kit import Kit
from mediswarm.spec.server_probe import connect, generation_of, resolve, shake_hands


def check_network(folder: Path, kit: Kit, timeout: float = 10.0) -> list[Finding]:
    """Go the way that NVFlare will go; the first step that fails ends the way.

    Args:
        folder: the startup kit.
        kit: its manifest.
        timeout: seconds for each step.
    """
    server, certificates = kit.server, load_certificates(folder, kit.role)
    findings: list[Finding] = []
    step = "name"
    try:
        begun = time.monotonic()
        address = resolve(server)
        took = time.monotonic() - begun
        findings.append(Finding.passed(step, f"{server.name} is {address}, found in {took * 1000:.0f} ms"))
        step = "port"
        with connect(server, address, timeout) as (sock, seconds):
            findings.append(
                Finding.passed(step, f"{server.port} answers, round trip {seconds * 1000:.0f} ms")
            )
            step = "TLS"
            seen = shake_hands(server, certificates, sock, seconds)
    except MediSwarmError as error:
        generation = error.code in ("MS-K020", "MS-K022")
        return [*findings, Finding.of(error, "generation" if generation else step)]
    ends = when(seen.certificate.not_valid_after_utc)
    return [
        *findings,
        Finding.passed("TLS", f"{seen.protocol}, mutual; the server's certificate is valid until {ends}"),
        Finding.passed("generation", f"the server is of generation {generation_of(certificates.root)} too"),
        check_bandwidth(server, certificates),
    ]
