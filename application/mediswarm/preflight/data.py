"""Is a site's data what the job's pipeline needs?"""

from __future__ import annotations

from typing import Any

from mediswarm.data.findings import Finding
from mediswarm.errors import MediSwarmError, PipelineError
from mediswarm.pipelines.base import Pipeline, Site
from mediswarm.preflight.scratch import check_scratch


def check_data(pipeline: Pipeline[Any], site: Site) -> list[Finding]:
    """Everything a pipeline finds at a site, and whether the site's scratch directory can serve it.

    An error that ends the pipeline's check is a FAIL; a check that finds
    nothing at all is one too, since it proves nothing.
    """
    findings = check_scratch(site.scratch_dir, site.data_dir) if site.scratch_dir is not None else []
    try:
        found = pipeline.check(site)
    except MediSwarmError as error:
        return [*findings, Finding.of(error, "data")]
    if not found:
        silent = PipelineError("MS-P003", f"{type(pipeline).__name__}.check() found neither good nor bad")
        return [*findings, Finding.of(silent, "data")]
    return [*findings, *found]
