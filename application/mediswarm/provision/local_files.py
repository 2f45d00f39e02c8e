"""What a participant's `local/` folder says: which classes, which rights, which connections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import AdminCommandNames
from nvflare.lighter.constants import ParticipantType
from nvflare.lighter.ctx import ProvisionContext
from nvflare.lighter.entity import Participant, Project
from nvflare.lighter.spec import Builder

from mediswarm.provision.components import SERVER_COMPONENTS, SITE_COMPONENTS, Component
from mediswarm.spec.federation import Federation
from mediswarm.spec.kit import ALLOWED_CLASSES

_INTERNAL = {"scheme": "unix", "resources": {"connection_security": "clear"}}
"""See flare/local_socket_driver.py: no TCP listener, neither at sites nor for the server's jobs."""

_WORKSPACE = "/proc/self/cwd"
"""NVFlare's storage takes absolute paths only, and a kit does not know where its workspace will be.
NVFlare's processes change into the workspace first."""

_SILENT_S = 120
"""Seconds without a sign of life after which the server gives a site up; NVFlare's default is 600. A site
beats from a process that does not train: however long a round lasts, it is not silent."""

_DROPPED = {"site_log_streamer", "log_receiver"}
"""Components of NVFlare's default that send sites' error logs, with paths and tracebacks, to the server."""


class LocalFiles(Builder):
    """Turns NVFlare's `*.default` files into files that hold for a MediSwarm node.

    Args:
        federation: tells which sites run code that jobs bring along.
    """

    def __init__(self, federation: Federation) -> None:
        self.code_at = {site.name for site in federation.sites if site.allow_job_code}

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        for participant in project.get_all_participants():
            folder = Path(ctx.get_local_dir(participant))
            for file in sorted(folder.glob("*.default")):
                file.rename(file.with_suffix(""))
            (folder / "privacy.json.sample").unlink(missing_ok=True)
            if participant.type != ParticipantType.ADMIN:
                self._node(participant, folder)

    def _node(self, participant: Participant, folder: Path) -> None:
        is_server = participant.type == ParticipantType.SERVER
        resources = _read(folder / "resources.json")
        resources |= {
            "class_list_enforcement_mode": "enforce",
            "class_allow_list": list(ALLOWED_CLASSES),
        }
        if not is_server:
            resources["allow_log_streaming"] = False
        ours = SERVER_COMPONENTS if is_server else SITE_COMPONENTS
        resources["components"] = _components(resources["components"], ours)
        if is_server:
            _store_in_workspace(resources)
            for server in resources["servers"]:
                server["heart_beat_timeout"] = _SILENT_S
        _write(folder / "resources.json", resources)
        _write(folder / "comm_config.json", {"allow_adhoc_conns": False, "internal": _INTERNAL})
        # the server deploys a job that brings code if any site would run it
        code = bool(self.code_at) if is_server else participant.name in self.code_at
        _write(folder / "authorization.json", _rights(_read(folder / "authorization.json"), code))


def _components(nvflares: list[dict[str, Any]], ours: tuple[Component, ...]) -> list[dict[str, Any]]:
    kept = [component for component in nvflares if component["id"] not in _DROPPED]
    return [component._asdict() for component in ours] + kept


def _store_in_workspace(resources: dict[str, Any]) -> None:
    """NVFlare's default keeps jobs under /tmp/nvflare, where two servers meet and a restart forgets them."""
    for component in resources["components"]:
        if component["id"] == "job_manager":
            component["args"]["uri_root"] = f"{_WORKSPACE}/jobs-storage"
    storage = resources["snapshot_persistor"]["args"]["storage"]
    storage["args"]["root_dir"] = f"{_WORKSPACE}/snapshot-storage"


def _rights(policy: dict[str, Any], code: bool) -> dict[str, Any]:
    """NVFlare's default policy, with the right to bring code only where it was consented to."""
    permissions = policy["permissions"]
    commands = {value for name, value in vars(AdminCommandNames).items() if name.isupper()}
    # "any" would include the right to bring code: every other right is named instead
    categories = (
        "submit_job",
        "clone_job",
        "manage_job",
        "download_job",
        "view",
        "operate",
        "shell_commands",
    )
    permissions["project_admin"] = dict.fromkeys((*categories, *sorted(commands)), "any")
    permissions["project_admin"]["server-predeployed-flwr"] = "none"
    # following one's own run; NVFlare's default forgets it
    permissions["lead"]["app_command"] = "n:submitter"
    for role in ("project_admin", "org_admin", "lead"):
        permissions[role]["byoc"] = "any" if code and role != "org_admin" else "none"
    return policy


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
