"""Before round 0: do the sites agree on what is trained, and are there enough of them?"""

from __future__ import annotations

import json
from typing import Any

from mediswarm import __version__
from mediswarm.aggregation.quorum import require_quorum
from mediswarm.aggregation.reasons import in_words
from mediswarm.errors import ContractError, MediSwarmError, RunFailed
from mediswarm.pipelines.base import Pipeline
from mediswarm.pipelines.counts import Counts, add_counts
from mediswarm.spec import Job
from mediswarm.spec.workflow import required
from mediswarm.training.crossing import Introduction


def admit(
    job: Job,
    pipeline: Pipeline[Any],
    introductions: dict[str, Introduction],
    refusals: dict[str, str],
    agreed: dict[str, Any] | None = None,
) -> tuple[dict[str, Introduction], dict[str, str], Counts]:
    """Compare every site with the job, and sum the statistics of those admitted.

    Args:
        job: what the server was asked to run.
        pipeline: the server's own instance of the job's pipeline.
        introductions: what each site said.
        refusals: sites that could not introduce themselves, with the code of the reason.
        agreed: the contract with its measured parts, of a run that has begun.

    Returns:
        the admitted sites, the code for each site left out, the summed statistics.

    Raises:
        ContractError: MS-C001, MS-C002, MS-C004 or MS-C005 when that leaves fewer than the start quorum.
        RunFailed: MS-R002 when too few sites came up for another reason, or fewer than the round quorum.
    """
    problems = {
        site: problem
        for site, said in sorted(introductions.items())
        if (problem := _compare(site, said, job, pipeline)) is not None
    }
    admitted = {site: said for site, said in sorted(introductions.items()) if site not in problems}
    _compare_measured(admitted, problems, agreed)
    admitted = {site: said for site, said in admitted.items() if site not in problems}
    left_out = refusals | {site: problem.code for site, problem in problems.items()}
    sites = len(introductions) + len(refusals)
    quorum = job.workflow.start_quorum if agreed is None else job.workflow.round_quorum
    if len(admitted) < required(quorum, sites):
        for problem in problems.values():
            raise problem
        what = f"{'start' if agreed is None else 'round'} quorum {quorum}"
        require_quorum(left_out, [*introductions, *refusals], quorum, what)
    if len(admitted) < required(job.workflow.round_quorum, len(admitted)):
        raise RunFailed(
            "MS-R002",
            f"{len(admitted)} of {sites} sites take part, the round quorum is {job.workflow.round_quorum}; "
            f"left out: {in_words(left_out) or 'none'}",
        )
    return admitted, left_out, add_counts(said.statistics for said in admitted.values())


def _compare(site: str, said: Introduction, job: Job, pipeline: Pipeline[Any]) -> MediSwarmError | None:
    ours = {"mediswarm": __version__, "pipeline": f"{job.pipeline} {pipeline.version}", "job": job.hash}
    theirs = said.versions | {"job": said.job_hash}
    for what, value in ours.items():
        if theirs.get(what) != value:
            return ContractError("MS-C002", f"site {site} runs {what} {theirs.get(what)}, the server {value}")
    for key, value in pipeline.contract().items():
        if said.contract.get(key) != value:
            return ContractError(
                "MS-C001",
                f"site {site} has {key} {_json(said.contract.get(key))}, the job declares {_json(value)}",
            )
    if job.selection.metric not in said.metrics:
        return ContractError("MS-C004", f"site {site} does not report {job.selection.metric}")
    if getattr(job.workflow, "weights", None) == "events" and "events" not in said.statistics:
        return ContractError(
            "MS-C005", f"workflow.weights is events, but the pipeline counts no events at site {site}"
        )
    return None


def _compare_measured(
    admitted: dict[str, Introduction], problems: dict[str, MediSwarmError], agreed: dict[str, Any] | None
) -> None:
    """What no job declares but the data says must be the same everywhere (the first site is the measure)."""
    if not admitted:
        return
    first, measure = next((f"site {site}", said.contract) for site, said in admitted.items())
    if agreed is not None:
        first, measure = "the run", agreed
    for site, said in admitted.items():
        for key in sorted(measure.keys() | said.contract.keys()):
            if said.contract.get(key) != measure.get(key):
                problems[site] = ContractError(
                    "MS-C001",
                    f"site {site} has {key} {_json(said.contract.get(key))}, "
                    f"{first} has {_json(measure.get(key))}",
                )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
