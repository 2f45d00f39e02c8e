"""A federation of real containers, each started by the `docker.sh` of its own startup kit.

with Containers(engine, "mediswarm/cifar10@sha256:…", ["site-1", "site-2"]) as federation:
    federation.start()
    federation.operator("submit", "smoke", "--follow")
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container
from tests.federation import MEDISWARM
from typing_extensions import Self

from mediswarm.flare.operator_files import OperatorFiles

SERVER, ADMIN, PORT = "fed-server", "operator@example.org", 8002
Ended = subprocess.CompletedProcess[str]
Sockets = set[tuple[str, str, str]]
_STATES = {"01": "ESTABLISHED", "0A": "LISTEN"}
_IMAGES_ACCOUNT = 10001  # what docker.sh makes of root


class Containers:
    """One server, sites, and an operator, in containers on a private network of their own.

    Everything lies below one folder that other accounts may enter, since a site can be run by another one.

    Args:
        engine: the Docker engine of this machine.
        image: of all containers, as `NAME@sha256:…`.
        sites: their names.
        accounts: uid and gid of the account that calls a site's docker.sh; the caller's if left out.
    """

    def __init__(
        self, engine: DockerClient, image: str, sites: Iterable[str], accounts: dict[str, int] | None = None
    ) -> None:
        self.engine, self.image, self.sites = engine, image, list(sites)
        self.accounts = accounts or {}
        self.folder = Path(tempfile.mkdtemp(prefix="mediswarm-containers-"))
        self.folder.chmod(0o755)
        self.name = f"test-{os.getpid()}"
        self.network = f"mediswarm-{self.name}"
        self.files = OperatorFiles(self.folder / "scratch" / ADMIN)
        self.work = self.folder / "work"
        self.work.mkdir()
        if os.geteuid() == 0:
            os.chown(self.work, _IMAGES_ACCOUNT, _IMAGES_ACCOUNT)
        kits = self.provision("provisioned", self.sites)
        self.kits = {name: kits / name for name in (SERVER, ADMIN, *self.sites)}
        for site, account in self.accounts.items():
            self._give(self.kits[site], account)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for container in self.engine.containers.list(all=True, filters={"name": f"^mediswarm-{self.name}-"}):
            container.remove(force=True)
        for network in self.engine.networks.list(names=[self.network]):
            network.remove()
        shutil.rmtree(self.folder)

    def provision(self, into: str, sites: Iterable[str]) -> Path:
        """Make kits with a certificate authority of their own; gives their folder."""
        document = {
            "name": self.name,
            "server": {"name": SERVER, "organisation": "example", "port": PORT},
            "sites": [{"name": site, "organisation": "example"} for site in sites],
            "admins": [{"name": ADMIN, "organisation": "example"}],
            "images": {"sites": self.image},
            "network": self.network,
        }
        file = self.folder / f"{into}.yml"
        file.write_text(yaml.safe_dump(document))
        made = subprocess.run(
            [*MEDISWARM, "provision", file, "--out", self.folder / into],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert made.returncode == 0, made.stderr
        return self.folder / into / "kits"

    # -- participants -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server, then all sites at once."""
        started = self.script(SERVER, "--start_server", *self.scratch(SERVER), "--no_pull")
        assert started.returncode == 0, started.stderr
        with ThreadPoolExecutor() as pool:
            for ended in pool.map(self.start_site, self.sites):
                assert ended.returncode == 0, ended.stderr

    def start_site(self, site: str) -> Ended:
        """`./docker.sh --start_client`; gives how it ended."""
        return self.script(site, "--start_client", *self.site_options(site))

    def site_options(self, site: str) -> list[str]:
        """The options of a site's docker.sh: folders, no GPU, and no registry."""
        data = self.folder / "data" / site
        data.mkdir(parents=True, exist_ok=True)
        return ["--data_dir", str(data), *self.scratch(site), "--GPU", "none", "--no_pull"]

    def scratch(self, participant: str) -> list[str]:
        """The option for a participant's writable folder."""
        folder = self.folder / "scratch" / participant
        folder.mkdir(parents=True, exist_ok=True)
        if participant in self.accounts:
            self._give(folder, self.accounts[participant])
        return ["--scratch_dir", str(folder)]

    def script(self, participant: str, *arguments: str, within: int = 120) -> Ended:
        """Run a participant's docker.sh, in its kit and as its account."""
        return subprocess.run(
            [*self._as_account(participant), "./docker.sh", *arguments],
            cwd=self.kits[participant],
            env={**os.environ, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )

    def operator(self, *command: str, within: int = 300) -> Ended:
        """Run the admin's docker.sh: a `mediswarm` command in a container."""
        options = [*self.scratch(ADMIN), "--work_dir", str(self.work), "--no_pull"]
        return self.script(ADMIN, *options, *command, within=within)

    def container(self, participant: str) -> Container:
        """A participant's container as it is now."""
        return self.engine.containers.get(f"mediswarm-{self.name}-{participant}")

    def health(self, participant: str) -> str:
        """What `docker ps` says of a container's health; empty when there is no container."""
        try:
            state = self.container(participant).attrs["State"]
        except NotFound:
            return ""
        return str(state["Health"]["Status"])

    def address(self, participant: str) -> str:
        """The container's address in the private network."""
        networks = self.container(participant).attrs["NetworkSettings"]["Networks"]
        assert list(networks) == [self.network]
        return str(networks[self.network]["IPAddress"])

    def inside(self, participant: str, script: str) -> tuple[int, str]:
        """Run a shell line in a running container, with the rights that its processes have."""
        code, said = self.container(participant).exec_run(["sh", "-c", script])
        return code, said.decode()

    def events(self, run: str, kind: str) -> list[dict[str, Any]]:
        """The events of a kind that have come to the operator."""
        return [event for event in self.files.known_events(run) if event["event"] == kind]

    def fetch(self, run: str) -> Path:
        """Record and models of a run, as the operator fetches them."""
        fetched = self.operator("fetch", run, "--out", f"fetched/{run}", "--json")
        assert fetched.returncode == 0, fetched.stderr
        assert json.loads(fetched.stdout)["models"] == ["best", "last"]
        return self.work / "fetched" / run

    @property
    def bridge(self) -> str:
        """The network's interface on this machine."""
        return f"br-{self.engine.networks.get(self.network).id[:12]}"

    def _as_account(self, participant: str) -> list[str]:
        account = self.accounts.get(participant)
        if account is None:
            return []
        # the group of the engine's socket is what `usermod -aG docker` gives
        group = Path("/var/run/docker.sock").stat().st_gid
        return ["setpriv", f"--reuid={account}", f"--regid={account}", f"--groups={group}"]

    @staticmethod
    def _give(folder: Path, account: int) -> None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account, account)


@dataclass(frozen=True)
class Packet:
    """One packet on the bridge; ports are None where the protocol has none."""

    source: str
    target: str
    protocol: int
    ports: tuple[int, int] | None


class Capture:
    """All that passes through a network interface (Linux, as root), while the block lasts."""

    def __init__(self, interface: str) -> None:
        self.packets: list[Packet] = []
        self.bytes = bytearray()
        """The packets' contents, one after the other."""
        every_protocol, packet_level, add_membership, promiscuous = 0x0003, 263, 1, 1
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(every_protocol))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._socket.bind((interface, 0))
        member = struct.pack("iHH8s", socket.if_nametoindex(interface), promiscuous, 0, b"")
        self._socket.setsockopt(packet_level, add_membership, member)
        self._socket.settimeout(0.5)
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._over.is_set():
            try:
                frame = self._socket.recv(1 << 18)
            except TimeoutError:
                continue
            packet = _packet(frame)
            if packet is not None:
                self.packets.append(packet)
                self.bytes += frame[14:]


def _packet(frame: bytes) -> Packet | None:
    """Where an Ethernet frame with IPv4 goes; None for other frames, which leave the link never (ARP)."""
    if frame[12:14] != b"\x08\x00":
        return None
    content = frame[14 + (frame[14] & 0x0F) * 4 :]
    protocol = frame[23]
    ports = (
        struct.unpack("!HH", content[:4]) if protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) else None
    )
    return Packet(socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34]), protocol, ports)


def sockets_of(pid: int) -> Sockets:
    """State, own and other end of the sockets in a process's network; UDP is `OPEN`.

    Time-waits and other ends of connections that no process holds any more are left out.
    """
    found: Sockets = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            own, other, state = line.split()[1:4]
            if table.startswith("udp"):
                found.add(("OPEN", _end(own), _end(other)))
            elif state in _STATES:
                found.add((_STATES[state], _end(own), _end(other)))
    return found


def _end(text: str) -> str:
    """`ADDRESS:PORT` of an entry in /proc/net, which holds addresses in the machine's byte order."""
    address, port = text.split(":")
    words = [int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return f"{socket.inet_ntop(family, b''.join(words))}:{int(port, 16)}"
