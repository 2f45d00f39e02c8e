"""A job becomes a run of the operator: what is checked and written before anything is sent."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta, timezone
from pathlib import Path

from mediswarm.errors import UsageError
from mediswarm.flare.federation_server import FederationServer
from mediswarm.flare.operator_files import OperatorFiles
from mediswarm.flare.run_state import Run, RunState
from mediswarm.flare.supervisor_rules import check_certificates
from mediswarm.spec import Job
from mediswarm.spec.certificate import when

WARN_DAYS = 60


def named_sites(sites: str | None, server: FederationServer) -> tuple[str, ...] | None:
    """The roster of an option; None for all.

    Raises:
        UsageError: MS-U004 for a list with a gap or a name twice, MS-U002 for a site that is unknown.
    """
    if sites is None:
        return None
    names = tuple(name.strip() for name in sites.split(","))
    if "" in names or len(set(names)) < len(names):
        raise UsageError(
            "MS-U004",
            "the list of sites has a gap, or a name twice",
            repair="Write each site once, with one comma between each two.",
        )
    known = {*server.roster(), *(site.name for site in server.sites())}
    unknown = sorted(set(names) - known)
    if unknown:
        raise UsageError(
            "MS-U002",
            f"there is no site {', '.join(unknown)} in this federation; there are {', '.join(sorted(known))}",
            repair="Use names listed in the message; a new site needs a startup kit first.",
        )
    return names


def admit_run(
    job: Job,
    roster: tuple[str, ...] | None,
    kit: Path,
    server: FederationServer,
    files: OperatorFiles,
    state: RunState,
) -> tuple[Run, str]:
    """Check that a run can be begun, keep its job, and write it down.

    Returns:
        the run, and a warning when a certificate ends within :data:`WARN_DAYS`.

    Raises:
        SessionError: when the server cannot be reached.
        KitError: MS-S014 when a certificate ends before the run would.
    """
    expires = server.expires()
    check_certificates(job, 0, [], expires)
    server.sites()
    now = datetime.now(timezone.utc)
    run_id = f"{job.name}-{now.strftime('%Y%m%dT%H%M%SZ')}-{secrets.token_hex(2)}"
    files.keep_job(run_id, job)
    state.add(run_id, job.name, job.hash, kit, roster, job.workflow.rounds)
    soon = expires - now < timedelta(days=WARN_DAYS)
    warning = f"the first certificate of admin and server ends {when(expires)}; renew it in time"
    return state.run(run_id), warning if soon else ""
