"""What a site consents to: the job hashes it has pinned."""

from __future__ import annotations

from mediswarm.errors import ContractError
from mediswarm.flare.site_settings import accepted_jobs
from mediswarm.spec import Job


def require_accepted(job: Job, site: str) -> None:
    """Check a job against the hashes that this site has pinned, if it has pinned any.

    The server's word for what a job is does not count: the hash is of the
    document and the files that arrived.

    Raises:
        ContractError: MS-C007 when the job's hash is not among them.
    """
    accepted = accepted_jobs()
    if accepted and job.hash not in accepted:
        raise ContractError("MS-C007", f"site {site} has not accepted job {job.name} with hash {job.hash}")
