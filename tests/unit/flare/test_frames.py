"""Frames are the bytes that NVFlare's own connections send and understand, and large ones are not copied."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from array import array
from collections.abc import Iterator

import pytest
from google.protobuf.message import DecodeError
from nvflare.fuel.f3.communicator import Communicator
from nvflare.fuel.f3.drivers.grpc import streamer_pb2_grpc
from nvflare.fuel.f3.drivers.grpc.streamer_pb2 import Frame
from nvflare.fuel.f3.endpoint import Endpoint
from nvflare.fuel.f3.message import Message
from nvflare.fuel.f3.streaming import byte_streamer
from tests.unit.flare.arrived import APP, Arrived

from mediswarm.flare.frames import LARGE_BYTES, GrpcFrame, spare_copies

_LARGE = bytes(range(256)) * 12_000

STOCK_PEER = textwrap.dedent(
    """
    import sys
    from nvflare.fuel.f3.communicator import Communicator
    from nvflare.fuel.f3.endpoint import Endpoint
    from nvflare.fuel.f3.message import Message, MessageReceiver
    from nvflare.fuel.utils.constants import Mode

    class Echo(MessageReceiver):
        def process_message(self, endpoint, connection, app_id, message):
            peer.send(endpoint, app_id, Message(message.headers, bytes(message.payload)))

    peer = Communicator(Endpoint("stock"))
    peer.register_message_receiver(7, Echo())
    peer.add_connector(sys.argv[1], Mode.ACTIVE)
    peer.start()
    sys.stdin.read()
    peer.stop()
    """
)


@pytest.fixture(autouse=True)
def frames() -> None:
    spare_copies()


@pytest.fixture
def node() -> Iterator[tuple[Communicator, Arrived]]:
    """A communicator of ours; its peer in another process is NVFlare as it comes, and says all again."""
    node, arrived = Communicator(Endpoint("node")), Arrived()
    node.register_monitor(arrived)
    node.register_message_receiver(APP, arrived)
    _, url, _ = node.start_listener("grpc", {"secure": False})
    node.start()
    with subprocess.Popen([sys.executable, "-c", STOCK_PEER, url], stdin=subprocess.PIPE) as peer:
        try:
            assert arrived.there.wait(60)
            yield node, arrived
        finally:
            node.stop()
            peer.kill()


@pytest.mark.parametrize("size", [0, 1, 127, 128, LARGE_BYTES - 1, LARGE_BYTES, 3_000_000])
def test_messages_are_protobufs(size: int) -> None:
    data = b"\x12" * size
    theirs = Frame(seq=70_000, data=data).SerializeToString()

    found = GrpcFrame.FromString(theirs)

    assert (found.seq, bytes(found.data)) == (70_000, data)
    if size >= LARGE_BYTES:
        assert isinstance(found.data, memoryview)
        assert found.data.obj is theirs, "it is looked at, not copied"


@pytest.mark.parametrize(
    "message",
    [
        Frame(seq=-1, data=_LARGE).SerializeToString(),
        Frame(data=_LARGE).SerializeToString(),
        b"\x12\x03abc\x08\x05",  # fields in the other order
        Frame(seq=1, data=_LARGE).SerializeToString() + b"\x18\x01",  # a field of a later version
        Frame(seq=1, data=_LARGE).SerializeToString() + b"\x12\x01a",  # the last one counts
        b"\x08\x81\x80\x80\x80\x80\x00\x12\x80\x80\x04" + b"x" * LARGE_BYTES,  # a number longer than need be
        b"",
    ],
    ids=["negative", "unnumbered", "reordered", "newer", "twice", "overlong", "empty"],
)
def test_unusual_messages_are_read_as_protobuf_reads_them(message: bytes) -> None:
    expected = Frame.FromString(message)
    found = GrpcFrame.FromString(message)
    assert (found.seq, bytes(found.data)) == (expected.seq, expected.data)


@pytest.mark.parametrize(
    "message",
    [
        Frame(seq=1, data=_LARGE).SerializeToString()[:-1],
        b"\x08" + b"\xff" * 1_000_000,
        b"\x08\x01\x12" + b"\xff" * 1_000_000,
    ],
    ids=["cut", "endless number", "endless size"],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(DecodeError):
        GrpcFrame.FromString(message)


@pytest.mark.parametrize("payload", [b"a few bytes", _LARGE], ids=["small", "large"])
def test_nvflare_as_it_comes_understands_our_frames_and_we_its(
    node: tuple[Communicator, Arrived], payload: bytes
) -> None:
    communicator, arrived = node

    communicator.send(Endpoint("stock"), APP, Message({"topic": "t"}, payload))

    assert arrived.said.wait(30)
    assert arrived.message.headers == {"topic": "t"}
    assert bytes(arrived.message.payload) == payload
    # fails when NVFlare's connections are no longer ours
    assert isinstance(arrived.message.payload, memoryview if payload is _LARGE else bytes)


def test_the_size_of_a_payload_is_counted_in_bytes(node: tuple[Communicator, Arrived]) -> None:
    communicator, arrived = node
    numbers = array("f", range(50_000))

    communicator.send(Endpoint("stock"), APP, Message({}, memoryview(numbers)))

    assert arrived.said.wait(30)
    assert bytes(arrived.message.payload) == numbers.tobytes()


def test_nvflares_asyncio_driver_goes_on_working() -> None:
    """It shares the names of protobuf's class with the other driver."""
    frame = Frame(seq=3, data=b"abc")
    assert streamer_pb2_grpc.Frame.SerializeToString(frame) == frame.SerializeToString()


def test_a_buffer_may_be_used_again_once_it_is_sent(node: tuple[Communicator, Arrived]) -> None:
    communicator, arrived = node
    buffer = bytearray(_LARGE)

    communicator.send(Endpoint("stock"), APP, Message({}, memoryview(buffer)))
    buffer[:] = bytes(len(buffer))  # as a stream does with its next piece

    assert arrived.said.wait(30)
    assert bytes(arrived.message.payload) == _LARGE


def test_what_may_have_to_be_sent_again_is_copied_only_if_it_can_change() -> None:
    fixed, changing = memoryview(_LARGE)[5:], bytearray(b"first")

    kept, copied = byte_streamer._snapshot_payload([fixed, memoryview(changing)])
    changing[:] = b"later"

    assert kept is fixed
    assert copied == b"first"
    assert byte_streamer._snapshot_payload(None) is None
