"""NVFlare's side of a node: whether a site is registered, and that no two nodes use one kit.

`SiteRegistration` is a component of every site and `RegistrationGuard` of the
server (``resources.json``). NVFlare 2.9 by itself lets a second client of the
same name in and shuts the first one out without a word; and it fires
AFTER_CLIENT_HEARTBEAT whether or not the server answered, so that only the
server's replies themselves tell whether a site is in touch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey, RunProcessKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import NotAuthenticated
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import CellChannel, CellChannelTopic, ClientType

from mediswarm.flare.node_state import INSTANCE_FILE, REGISTRATION_FILE, write_json
from mediswarm.flare.site_settings import SCRATCH_DIR

INSTANCE = "mediswarm_instance"
DUPLICATE = "MS-K023"
_GOODBYE_S = 2.0


class SiteRegistration(FLComponent):
    """Says who this node is when it registers, and writes down what the server answers."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.BEFORE_CLIENT_REGISTER:
            self.folder = _folder(fl_ctx)
            # sticky: it travels with every heartbeat too
            fl_ctx.set_prop(INSTANCE, instance_of(self.folder), private=False, sticky=True)
            cell = fl_ctx.get_engine().get_cell().core_cell
            for topic in (CellChannelTopic.Register, CellChannelTopic.HEART_BEAT):
                cell.add_incoming_reply_filter(CellChannel.SERVER_MAIN, topic, self._answered)
        elif event_type == EventType.AFTER_CLIENT_REGISTER and fl_ctx.get_prop(FLContextKey.CLIENT_TOKEN):
            self._note("registered")
            signal.signal(signal.SIGTERM, lambda *_: _leave(fl_ctx))

    def _answered(self, reply: Message) -> None:
        code = reply.get_header(MessageHeaderKey.RETURN_CODE)
        topic = reply.get_header(MessageHeaderKey.TOPIC)
        if code == ReturnCode.UNAUTHENTICATED:
            self._note("refused", str(reply.get_header(MessageHeaderKey.ERROR, "")))
        elif code == ReturnCode.OK and topic == CellChannelTopic.HEART_BEAT:
            self._note("registered")

    def _note(self, state: str, reason: str = "") -> None:
        content = {"state": state, "at": time.time(), "reason": reason, "pid": os.getpid()}
        with contextlib.suppress(OSError):  # the node says that the disk is full
            write_json(self.folder / REGISTRATION_FILE, content)


class RegistrationGuard(FLComponent):
    """Refuses a second living node of a name (R23).

    Args:
        alive_for: seconds after its last heartbeat for which a node counts as living.
    """

    def __init__(self, alive_for: float = 30.0) -> None:
        super().__init__()
        self.alive_for = alive_for

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.CLIENT_REGISTER_RECEIVED:
            if fl_ctx.get_prop(FLContextKey.CLIENT_TYPE) == ClientType.REGULAR and self._rival(fl_ctx):
                name = fl_ctx.get_peer_context().get_identity_name()
                self.log_error(
                    fl_ctx, f"refused: another node of {name} lives [{DUPLICATE}]", fire_event=False
                )
                raise NotAuthenticated(DUPLICATE)
        elif event_type == EventType.CLIENT_HEARTBEAT_RECEIVED:
            # two that registered in the same instant: NVFlare keeps the later one's token
            if self._rival(fl_ctx):
                fl_ctx.set_prop(FLContextKey.UNAUTHENTICATED, DUPLICATE, sticky=False)
        elif event_type in (EventType.CLIENT_REGISTER_PROCESSED, EventType.CLIENT_HEARTBEAT_PROCESSED):
            client, instance = _client(fl_ctx), _instance(fl_ctx)
            if client is not None and client.get_prop(INSTANCE) is None:
                client.set_prop(INSTANCE, instance)
            if client is not None and event_type == EventType.CLIENT_REGISTER_PROCESSED:
                _give_up_jobs_of_former(client, fl_ctx)

    def _rival(self, fl_ctx: FLContext) -> bool:
        """Whether another node has the name of the one that speaks, and lives."""
        client, instance = _client(fl_ctx), _instance(fl_ctx)
        if client is None or instance is None or client.get_prop(INSTANCE) in (None, instance):
            return False
        return bool(time.time() - client.last_connect_time < self.alive_for)


def _give_up_jobs_of_former(client: Client, fl_ctx: FLContext) -> None:
    """Tell the jobs of a site that was started anew that its part of them is dead.

    NVFlare 2.9 learns of a missing job from heartbeats, but only of the client that reported the job
    before: after a restart, the round would wait for the site until its budget ends.
    """
    engine = fl_ctx.get_engine()
    for job_id, process in list(engine.run_processes.items()):
        for token, participant in (process.get(RunProcessKey.PARTICIPANTS) or {}).items():
            if participant.name == client.name and token != client.token:
                engine.notify_dead_job(job_id, client.name, "the site was started anew")


def instance_of(folder: Path) -> str:
    """The name of this node among all that ever used the kit; kept, so that a restart is the same node."""
    file = folder / INSTANCE_FILE
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(uuid.uuid4().hex, encoding="ascii")
    return file.read_text(encoding="ascii").strip()


def _leave(fl_ctx: FLContext) -> None:
    """End this process, and let the server know: it would count the site as connected for minutes."""
    site = fl_ctx.get_prop(FLContextKey.SITE_OBJ)

    def log_out() -> None:
        with contextlib.suppress(Exception):
            site.logout_client(fl_ctx)

    # not in this thread: NVFlare waits half a minute for a server that is not there
    goodbye = threading.Thread(target=log_out, daemon=True)
    goodbye.start()
    goodbye.join(_GOODBYE_S)
    os._exit(0)


def _folder(fl_ctx: FLContext) -> Path:
    """The scratch directory, or NVFlare's workspace where a kit is started without a node."""
    scratch = os.environ.get(SCRATCH_DIR)
    return Path(scratch) if scratch else Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())


def _client(fl_ctx: FLContext) -> Client | None:
    """The client that is registered under the name of the one that speaks."""
    peer = fl_ctx.get_peer_context()
    clients: dict[str, Client] = fl_ctx.get_engine().client_manager.name_to_clients
    return clients.get(peer.get_identity_name()) if peer else None


def _instance(fl_ctx: FLContext) -> Any:
    peer = fl_ctx.get_peer_context()
    return peer.get_prop(INSTANCE) if peer else None
