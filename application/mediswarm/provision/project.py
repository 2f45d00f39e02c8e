"""A federation as NVFlare's provisioner knows it."""

from __future__ import annotations

from nvflare.lighter.constants import ParticipantType, PropKey
from nvflare.lighter.entity import Participant, Project

from mediswarm.spec.federation import Federation

OWN_KEY = "mediswarm_own_key"
"""Property of a participant whose private key never reaches the operator."""


def nvflare_project(federation: Federation, without: set[str]) -> Project:
    """The project that NVFlare's builders work on.

    Args:
        federation: what to provision.
        without: participants to leave out, since their certificate request has not come yet.
    """
    address = federation.server.address
    project = Project(name=federation.name, description=federation.description, props={})
    project.add_participant(
        Participant(
            ParticipantType.SERVER,
            federation.server.name,
            federation.server.organisation,
            {PropKey.FED_LEARN_PORT: address.port, PropKey.ADMIN_PORT: address.admin_port},
        )
    )
    for site in federation.sites:
        if site.name not in without:
            props = {PropKey.ALLOW_LOG_STREAMING: False, OWN_KEY: site.own_key}
            project.add_participant(Participant(ParticipantType.CLIENT, site.name, site.organisation, props))
    for admin in federation.admins:
        if admin.name not in without:
            rights = {PropKey.ROLE: admin.role, OWN_KEY: admin.own_key}
            project.add_participant(
                Participant(ParticipantType.ADMIN, admin.name, admin.organisation, rights)
            )
    return project
