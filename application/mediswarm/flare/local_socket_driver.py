"""NVFlare's node and its job processes talk over a Unix socket: a site opens no port, not even on loopback.

NVFlare 2.9 connects a job process to its parent through a TCP listener on loopback, without
authentication: any account of the machine could connect to it. A Unix socket in a directory
that only this account may enter keeps them out, and leaves a site without a listening port.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer
from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.fuel.f3 import communicator
from nvflare.fuel.f3.comm_error import CommError
from nvflare.fuel.f3.drivers.base_driver import BaseDriver
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo
from nvflare.fuel.f3.drivers.driver_params import DriverCap, DriverParams
from nvflare.fuel.f3.drivers.socket_conn import SocketConnection

from mediswarm.flare.frames import LARGE_BYTES, Bytes, spare_copies

SCHEME = "unix"
"""The scheme that `local/comm_config.json` of a startup kit names for internal connections."""


class LocalConnection(SocketConnection):
    """NVFlare's frames on a socket; a large payload is sent from where it lies."""

    def send_parts(self, head: Bytes, payload: Bytes) -> None:
        """Send a frame of two parts; the caller lets nobody else send meanwhile.

        Raises:
            CommError: when it could not be sent; the connection is closed then.
        """
        try:
            if len(payload) < LARGE_BYTES:
                self.send_frame(b"".join((head, payload)))
            else:
                self.send_frame(head)
                self.send_frame(payload)
        except CommError:
            self.close()  # what follows would be taken for the rest of this frame
            raise

    def read_frame(self) -> Bytes:
        frame: bytearray = super().read_frame()
        return memoryview(frame) if len(frame) >= LARGE_BYTES else frame


class LocalConnectionHandler(BaseRequestHandler):
    """One connection of a job process, for as long as it lasts."""

    server: LocalSocketServer

    def handle(self) -> None:
        driver = self.server.driver
        connection = LocalConnection(self.request, self.server.connector)
        driver.add_connection(connection)
        connection.read_loop()
        driver.close_connection(connection)


class LocalSocketServer(ThreadingUnixStreamServer):
    """Accepts the connections of this machine's job processes."""

    daemon_threads = True

    def __init__(self, driver: LocalSocketDriver, connector: ConnectorInfo) -> None:
        self.driver = driver
        self.connector = connector
        self.local_addr = connector.params[DriverParams.PATH.value]
        super().__init__(self.local_addr, LocalConnectionHandler)


class LocalSocketDriver(BaseDriver):
    """NVFlare's socket frames over a Unix socket."""

    def __init__(self) -> None:
        super().__init__()
        self.server: LocalSocketServer | None = None

    @staticmethod
    def supported_transports() -> list[str]:
        return [SCHEME]

    @staticmethod
    def capabilities() -> dict[str, Any]:
        return {DriverCap.SEND_HEARTBEAT.value: True, DriverCap.SUPPORT_SSL.value: False}

    @staticmethod
    def get_urls(scheme: str, resources: dict[str, Any]) -> tuple[str, str]:  # noqa: ARG004 - the interface
        # of its own and short: the path of a Unix socket has at most 107 bytes
        url = f"{scheme}://0{tempfile.mkdtemp(prefix='mediswarm-')}/node"
        return url, url

    def listen(self, connector: ConnectorInfo) -> None:
        self.connector = connector
        self.server = LocalSocketServer(self, connector)
        self.server.serve_forever()

    def connect(self, connector: ConnectorInfo) -> None:
        self.connector = connector
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection_socket:
            connection_socket.connect(connector.params[DriverParams.PATH.value])
            connection = LocalConnection(connection_socket, connector)
            self.add_connection(connection)
            connection.read_loop()
            self.close_connection(connection)

    def shutdown(self) -> None:
        self.close_all()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            shutil.rmtree(Path(self.server.local_addr).parent, ignore_errors=True)


class LocalSockets(FLComponent):
    """Listed in `local/resources.json`: node and job processes know the scheme before they connect.

    They also spare copies of what they send (:mod:`mediswarm.flare.frames`).
    """

    def __init__(self) -> None:
        super().__init__()
        spare_copies()
        if SCHEME not in communicator.driver_mgr.drivers:
            communicator.driver_mgr.register(LocalSocketDriver)
