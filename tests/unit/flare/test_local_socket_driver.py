"""NVFlare's own communicators over our Unix socket."""

from __future__ import annotations

import errno
import socket
import stat
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from nvflare.fuel.f3.comm_error import CommError
from nvflare.fuel.f3.communicator import Communicator
from nvflare.fuel.f3.drivers import grpc_driver
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.message import Message
from nvflare.fuel.utils.constants import Mode
from tests.unit.flare.arrived import APP, Arrived

from mediswarm.flare.frames import LARGE_BYTES, GrpcConnection
from mediswarm.flare.local_socket_driver import SCHEME, LocalConnection, LocalSockets


def test_node_and_job_talk_through_a_socket_that_only_this_account_can_reach() -> None:
    LocalSockets()
    LocalSockets()  # a second one, in a process that has it already, changes nothing
    node, job = Communicator(Endpoint("node")), Communicator(Endpoint("job"))
    at_node, at_job = Arrived(), Arrived()
    for talker, arrived in ((node, at_node), (job, at_job)):
        talker.register_monitor(arrived)
        talker.register_message_receiver(APP, arrived)
    _, url, _ = node.start_listener(SCHEME, {})
    path = Path(urlsplit(url).path)
    job.add_connector(url, Mode.ACTIVE)
    node.start()
    job.start()
    try:
        assert at_job.there.wait(10)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_ISSOCK(path.stat().st_mode)

        job.send(Endpoint("node"), APP, Message({}, b"x" * 3_000_000))

        assert at_node.said.wait(10)
        assert bytes(at_node.message.payload) == b"x" * 3_000_000
        assert isinstance(at_node.message.payload, memoryview), "not copied out of its frame"
    finally:
        job.stop()
        node.stop()
    assert not path.parent.exists(), "nothing of it stays"


def test_a_process_that_lists_the_component_sends_to_the_server_without_copies_too() -> None:
    LocalSockets()
    assert grpc_driver.StreamConnection is GrpcConnection


def test_a_frame_that_could_be_sent_in_part_alone_closes_the_connection() -> None:
    """The peer would take the frames that follow for the rest of it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        connector = ConnectorInfo("peer", None, {}, Mode.ACTIVE, 0, 0, False, threading.Event())
        connection = LocalConnection(_Failing(ours), connector)

        with pytest.raises(CommError):
            connection.send_parts(b"head", b"x" * LARGE_BYTES)

        theirs.settimeout(10)
        assert theirs.recv(100) == b"head"
        assert theirs.recv(100) == b"", "nothing can follow"


class _Failing:
    """A socket on which memory runs short after the first sending."""

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped, self._sent = wrapped, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def send(self, data: Any) -> int:
        self._sent += 1
        if self._sent > 1:
            raise OSError(errno.ENOBUFS, "no buffer space")
        return self._wrapped.send(data)
