"""The receiving end of NVFlare's communicators."""

from __future__ import annotations

import threading
from typing import Any

from nvflare.fuel.f3.endpoint import Endpoint, EndpointMonitor, EndpointState
from nvflare.fuel.f3.message import Message, MessageReceiver

APP = 7


class Arrived(MessageReceiver, EndpointMonitor):  # type: ignore[misc]
    """Notes that the peer is there, and what it says."""

    def __init__(self) -> None:
        self.there, self.said = threading.Event(), threading.Event()
        self.message: Any = None

    def state_change(self, endpoint: Endpoint) -> None:
        if endpoint.state == EndpointState.READY:
            self.there.set()

    def process_message(self, endpoint: Endpoint, connection: Any, app_id: int, message: Message) -> None:
        self.message = message
        self.said.set()
