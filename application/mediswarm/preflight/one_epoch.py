"""A training of one epoch at this site alone: what no other check can foresee shows here."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.data.findings import Finding
from mediswarm.errors import MediSwarmError, code_of
from mediswarm.pipelines.base import Site
from mediswarm.spec import FedAvg, Job
from mediswarm.spec.training import LocalWork


def check_one_epoch(job: Job, site: Site) -> Finding:
    """Train `job` for one round of one epoch, judge and keep the model, and throw it away again.

    Args:
        job: what would be trained.
        site: where; its scratch directory takes the temporary run.
    """
    once = job.varied(
        workflow=FedAvg(rounds=1, round_budget=job.workflow.round_budget),
        training=job.training.model_copy(update={"local": LocalWork(epochs=1)}),
        pretrained=None,  # they are with the server, and time and memory are the same without
    )
    begun = time.monotonic()
    try:
        if site.scratch_dir is not None:
            site.scratch_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="preflight-", dir=site.scratch_dir) as folder:
            record = ReferenceRun(once, [site], Path(folder), run_id="preflight").run()
    except MediSwarmError as error:
        return Finding.of(error, "one epoch")
    except Exception as error:  # noqa: BLE001 - a pipeline may raise anything; it is what is looked for
        return Finding.of(MediSwarmError(code_of(error), f"{type(error).__name__}: {error}"), "one epoch")
    cases = record["participants"][site.name]["cases"]["train"]
    return Finding.passed(
        "one epoch", f"{cases} cases trained and judged in {time.monotonic() - begun:.0f} s"
    )
