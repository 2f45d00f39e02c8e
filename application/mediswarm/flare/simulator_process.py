"""The process that a simulation runs in: NVFlare's simulator and, forked from it, the sites."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# What follows without being used here is imported for the sites that are forked from this
# process. torch itself would import torch._dynamo, a second's work, at the first optimizer.
import torch._dynamo  # noqa: F401
from nvflare.private.fed.app.simulator.simulator_runner import SimulatorRunner

from mediswarm.flare import server_rounds, swarm_controller, swarm_executor, warm_workers  # noqa: F401
from mediswarm.flare.process_family import WORKERS_FILE, end_with_parent
from mediswarm.pipelines.find import find_pipeline_class
from mediswarm.spec import load_job


def main(nvflare_job: Path, job_folder: Path, workspace: Path, sites: list[str]) -> None:
    """Run one NVFlare job among `sites` and exit with 0, or 1 when NVFlare gave up."""
    end_with_parent()
    job = load_job(job_folder)
    if not job.ships_code:
        find_pipeline_class(job)
    warm_workers.install(len(sites), workspace.parent / WORKERS_FILE)
    runner = SimulatorRunner(
        job_folder=str(nvflare_job),
        workspace=str(workspace),
        clients=",".join(sites),
        threads=len(sites),
        log_config="concise",
    )
    # SimulatorRunner.run() would fork a process for this; we are one of our own already
    outcome: dict[str, int] = {}
    runner.run_process(outcome)
    sys.stdout.flush()
    os._exit(1 if outcome.get("run_status") else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4].split(","))
