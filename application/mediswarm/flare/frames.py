"""Frames of a model cross NVFlare's processes with few copies; on the wire they are the same bytes.

NVFlare 2.9 copies every megabyte of a model more than a dozen times on its way from the server's job to a
site: into a frame, into bytes, into a protobuf message and out of it, into a slice, and what it keeps for
sending again. Each copy takes memory and, what counts more, the interpreter's lock. Here a frame's payload is
written once where it is sent and looked at through a view where it arrives; protobuf's encoding of
`streamer.Frame` (https://protobuf.dev/programming-guides/encoding/) is written and read in place.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from typing import Any

from nvflare.fuel.f3.comm_error import CommError
from nvflare.fuel.f3.drivers import grpc_driver
from nvflare.fuel.f3.drivers.grpc import streamer_pb2, streamer_pb2_grpc
from nvflare.fuel.f3.drivers.grpc.qq import QueueClosed
from nvflare.fuel.f3.sfm import conn_manager
from nvflare.fuel.f3.sfm.prefix import PREFIX_LEN, Prefix
from nvflare.fuel.f3.sfm.sfm_conn import SfmConnection
from nvflare.fuel.f3.streaming import byte_streamer

Bytes = bytes | bytearray | memoryview
LARGE_BYTES = 1 << 16
"""From here on a frame is worth a view; NVFlare's small messages stay the bytes that it expects."""

_SEQ, _DATA = b"\x08", b"\x12"  # the tags of the message's two fields
_MORE = 0x80  # the bit of a varint's byte that says that another one follows
_VARINT = rb"([\x80-\xff]{0,4}[\x00-\x7f])"
_HEAD = re.compile(_SEQ + _VARINT + _DATA + _VARINT)
_numbers = itertools.count(1)


def spare_copies() -> None:
    """Let NVFlare send and receive that way in this process; to be called before it listens or connects."""
    conn_manager.SfmConnection = FrameSender
    grpc_driver.StreamConnection = GrpcConnection
    grpc_driver.Frame = streamer_pb2_grpc.Frame = GrpcFrame
    byte_streamer._snapshot_payload = _kept  # noqa: SLF001


class FrameSender(SfmConnection):
    """Gives a connection the head of a frame and its payload; NVFlare's own copies both into one first."""

    def send_frame(self, prefix: Prefix, headers: dict[str, Any] | None, payload: Bytes | None) -> None:
        """Send a frame.

        Raises:
            CommError: when the connection is closed, or takes nothing any more.
        """
        packed = self.headers_to_bytes(headers) or b""
        body = memoryview(payload).cast("B") if payload else b""
        prefix.header_len, prefix.length = len(packed), PREFIX_LEN + len(packed) + len(body)
        prefix.sequence = self.next_sequence()
        head = bytearray(PREFIX_LEN)
        prefix.to_buffer(head, 0)
        head += packed
        with self.lock:  # parts of two frames must not mix
            self._sending_since(time.monotonic())  # by which NVFlare finds connections that are stuck
            try:
                if hasattr(self.conn, "send_parts"):
                    self.conn.send_parts(head, body)
                else:
                    self.conn.send_frame(head + body)
            finally:
                self._sending_since(0.0)

    def _sending_since(self, moment: float) -> None:
        with self.send_state_lock:
            self.send_started_at = moment


class GrpcFrame:
    """What the gRPC driver takes for protobuf's `streamer.Frame`.

    Args:
        seq: the number of the frame on its connection.
        data: the frame; a view if it is large.
    """

    __slots__ = ("data", "seq")

    def __init__(self, seq: int, data: Bytes) -> None:
        self.seq, self.data = seq, data

    @staticmethod
    def SerializeToString(message: bytes | streamer_pb2.Frame) -> bytes:  # noqa: N802 - gRPC's stub knows it
        """The message; :class:`GrpcConnection` has written it already, NVFlare's asyncio driver has not."""
        return message if isinstance(message, bytes) else bytes(message.SerializeToString())

    @staticmethod
    def FromString(message: bytes) -> GrpcFrame:  # noqa: N802 - as above
        """The message as protobuf reads it.

        Raises:
            google.protobuf.message.DecodeError: when it is no such message.
        """
        head = _HEAD.match(message) if len(message) >= LARGE_BYTES else None
        if head and head.end() + _number(head[2]) == len(message):
            return GrpcFrame(_number(head[1]), memoryview(message)[head.end() :])
        frame = streamer_pb2.Frame.FromString(message)
        return GrpcFrame(frame.seq, frame.data)


class GrpcConnection(grpc_driver.StreamConnection):
    """NVFlare's gRPC connection; a frame is copied once, into the message that is sent."""

    def send_parts(self, *parts: Bytes) -> None:
        """Queue a frame that consists of `parts`, which may be overwritten then.

        Raises:
            CommError: when the connection is closed.
        """
        size = sum(map(len, parts))
        head = _SEQ + _varint(next(_numbers) & 0x7FFFFFFF) + _DATA + _varint(size)
        try:
            self.oq.append(b"".join((head, *parts)))
        except QueueClosed as error:
            raise CommError(CommError.ERROR, f"Error sending frame: {error}") from error

    def send_frame(self, frame: Bytes) -> None:
        self.send_parts(frame)

    def generate_output(self) -> Iterator[bytes]:
        yield from self.oq


def _kept(payload: Any) -> Any:
    """What a stream keeps of `payload` until it has arrived: itself, if it cannot change."""
    if isinstance(payload, list):
        return [_kept(part) for part in payload]
    if payload is None or (isinstance(payload, memoryview) and isinstance(payload.obj, bytes)):
        return payload
    return bytes(payload)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= _MORE:
        out.append(number % _MORE | _MORE)
        number //= _MORE
    out.append(number)
    return bytes(out)


def _number(varint: bytes) -> int:
    return sum(byte % _MORE * _MORE**place for place, byte in enumerate(varint))
