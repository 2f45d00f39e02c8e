"""Who may register under a name, decided on NVFlare's own contexts and list of clients."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, RunProcessKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import NotAuthenticated
from nvflare.private.defs import ClientType
from nvflare.private.fed.server.client_manager import ClientManager

from mediswarm.flare.registration import DUPLICATE, INSTANCE, RegistrationGuard, instance_of


@pytest.fixture
def clients() -> ClientManager:
    return ClientManager(project_name="demo")


def said(
    clients: ClientManager,
    instance: str | None,
    kind: str = ClientType.REGULAR,
    jobs: dict[str, Any] | None = None,
    given_up: list[tuple[str, str]] | None = None,
) -> FLContext:
    """The server's context when the node `instance` of site-1 speaks."""
    given_up = given_up if given_up is not None else []
    peer = FLContext()
    peer.set_prop(ReservedKey.IDENTITY_NAME, "site-1", private=False, sticky=False)
    if instance is not None:
        peer.set_prop(INSTANCE, instance, private=False, sticky=False)
    context = FLContext()
    engine = SimpleNamespace(
        client_manager=clients,
        run_processes=jobs or {},
        notify_dead_job=lambda job, site, _: given_up.append((job, site)),
    )
    context.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    context.set_prop(FLContextKey.CLIENT_TYPE, kind, private=False, sticky=False)
    context.set_peer_context(peer)
    return context


def registered(
    clients: ClientManager, guard: RegistrationGuard, instance: str | None, ago: float = 0
) -> Client:
    """Register as NVFlare does after it has verified who speaks."""
    context = said(clients, instance)
    guard.handle_event(EventType.CLIENT_REGISTER_RECEIVED, context)
    client = Client("site-1", f"token of {instance}")
    client.last_connect_time = time.time() - ago
    clients.name_to_clients = {"site-1": client}
    guard.handle_event(EventType.CLIENT_REGISTER_PROCESSED, context)
    return client


def test_a_second_living_node_is_refused(clients: ClientManager) -> None:
    guard = RegistrationGuard()
    registered(clients, guard, "first")
    with pytest.raises(NotAuthenticated, match=DUPLICATE):
        guard.handle_event(EventType.CLIENT_REGISTER_RECEIVED, said(clients, "second"))


def test_the_same_node_may_come_again(clients: ClientManager) -> None:
    guard = RegistrationGuard()
    registered(clients, guard, "first")
    assert registered(clients, guard, "first").get_prop(INSTANCE) == "first"


def test_the_dead_make_room(clients: ClientManager) -> None:
    guard = RegistrationGuard(alive_for=30)
    registered(clients, guard, "first", ago=31)
    assert registered(clients, guard, "second").get_prop(INSTANCE) == "second"


def test_a_refused_registration_does_not_rename_the_living(clients: ClientManager) -> None:
    guard = RegistrationGuard()
    living = registered(clients, guard, "first")
    guard.handle_event(EventType.CLIENT_REGISTER_PROCESSED, said(clients, "second"))
    assert living.get_prop(INSTANCE) == "first"


def test_of_two_at_once_the_one_that_was_put_out_is_told(clients: ClientManager) -> None:
    """NVFlare keeps the later one's token; the earlier one learns it from its next heartbeat."""
    guard = RegistrationGuard()
    registered(clients, guard, "second")
    context = said(clients, "first")
    guard.handle_event(EventType.CLIENT_HEARTBEAT_RECEIVED, context)
    assert context.get_prop(FLContextKey.UNAUTHENTICATED) == DUPLICATE
    context = said(clients, "second")
    guard.handle_event(EventType.CLIENT_HEARTBEAT_RECEIVED, context)
    assert context.get_prop(FLContextKey.UNAUTHENTICATED) is None


def test_a_restarted_server_learns_who_is_there_from_heartbeats(clients: ClientManager) -> None:
    guard = RegistrationGuard()
    clients.name_to_clients = {"site-1": Client("site-1", "token")}  # NVFlare re-activated it
    guard.handle_event(EventType.CLIENT_HEARTBEAT_PROCESSED, said(clients, "first"))
    with pytest.raises(NotAuthenticated):
        guard.handle_event(EventType.CLIENT_REGISTER_RECEIVED, said(clients, "second"))


def test_admins_and_kits_without_a_node_are_left_to_nvflare(clients: ClientManager) -> None:
    guard = RegistrationGuard()
    registered(clients, guard, "first")
    guard.handle_event(EventType.CLIENT_REGISTER_RECEIVED, said(clients, "second", ClientType.ADMIN))
    guard.handle_event(EventType.CLIENT_REGISTER_RECEIVED, said(clients, None))


def test_the_jobs_of_a_site_that_was_started_anew_are_told(clients: ClientManager) -> None:
    """They know the site by the token of before; its process in them died with it."""
    guard, given_up = RegistrationGuard(), list[tuple[str, str]]()
    former = registered(clients, guard, "first")
    jobs = {
        "of before": {RunProcessKey.PARTICIPANTS: {former.token: former}},
        "of another": {RunProcessKey.PARTICIPANTS: {"token": Client("site-2", "token")}},
    }
    guard.handle_event(
        EventType.CLIENT_REGISTER_PROCESSED, said(clients, "first", jobs=jobs, given_up=given_up)
    )
    assert given_up == [], "the same registration"
    clients.name_to_clients = {"site-1": Client("site-1", "a new token")}
    guard.handle_event(
        EventType.CLIENT_REGISTER_PROCESSED, said(clients, "first", jobs=jobs, given_up=given_up)
    )
    assert given_up == [("of before", "site-1")]


def test_a_node_keeps_its_name(tmp_path: Path) -> None:
    first = instance_of(tmp_path / "scratch")
    assert instance_of(tmp_path / "scratch") == first
    assert instance_of(tmp_path / "other") != first
