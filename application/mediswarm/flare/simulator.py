"""A whole federation on this machine: NVFlare's simulator, one process for each site."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mediswarm.errors import MediSwarmError, RunCrashed, RunFailed, error_from_dict
from mediswarm.flare.build_job import build_job
from mediswarm.flare.job_folder import run_in_workspace
from mediswarm.flare.process_environment import KEEP_MEMORY, thread_limits, threads_of_each
from mediswarm.flare.process_family import dead_sites, simulator_started
from mediswarm.flare.segment import Segment
from mediswarm.flare.site_settings import environment_of
from mediswarm.spec import Job
from mediswarm.spec.kit import ALLOWED_CLASSES
from mediswarm.spec.outcome import now, state_of
from mediswarm.spec.site_name import require_site_names
from mediswarm.spec.whole_file import write_whole

Watch = Callable[[dict[str, Any]], None]

_SERVER = "server"
_POLL_S = 0.1
_FOR_GOING_ON = {"incoming", "state", "state.json", "strategy"}
"""What a run keeps so that another process could go on with it; a simulation ends with its processes."""


def simulate(
    job: Job,
    sites: list[str],
    run_dir: Path,
    data_dir: Path | None = None,
    device: str = "cpu",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Run a job on NVFlare's simulator.

    Args:
        job: what is trained.
        sites: names of the sites; each has a folder in `data_dir`, unless the pipeline says otherwise.
        run_dir: becomes the run directory: record, models, logs, and what each site
            keeps under ``sites/<SITE>``.
        data_dir: the sites' data, read-only.
        device: the device of every site.
        watch: called with each event of the run as it happens.

    Returns:
        the run record.

    Raises:
        UsageError: MS-U005 for a site name NVFlare cannot carry, or one given twice.
        MediSwarmError: what the record says the run failed of; RunCrashed
            MS-R006 or MS-R008 when a process died.
    """
    require_site_names(sites)
    run_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mediswarm-", ignore_cleanup_errors=True) as temporary:
        workspace = Path(temporary) / "workspace"
        _allow_our_components(workspace)
        segment = Segment(0, job.workflow.rounds, tuple(sites))
        nvflare_job = build_job(job, Path(temporary) / "job", _run_id(run_dir), segment)
        scratch = run_dir / "scratch"
        scratch.mkdir(exist_ok=True)
        log = run_dir / "logs" / "simulator.log"
        log.parent.mkdir(exist_ok=True)
        settings = environment_of(data_dir, scratch, device)
        environment = _environment(sites, settings) | {"TMPDIR": temporary}
        arguments = [str(nvflare_job), str(job.folder), str(workspace), ",".join(sites)]
        cut_short: MediSwarmError | None = None
        try:
            with simulator_started(arguments, workspace, log, environment) as process:
                _follow(process, workspace, _run_id(run_dir), watch)
        except RunCrashed as error:
            cut_short = error
            raise
        except KeyboardInterrupt:
            cut_short = RunFailed("MS-R007", "the run was stopped")
            raise
        finally:
            _collect(workspace, run_dir, sites)
            if cut_short is not None:
                _note_end(run_dir, cut_short)
    return _record(run_dir, log)


def _run_id(run_dir: Path) -> str:
    """The directory's name in the letters that NVFlare allows in a job's name."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", run_dir.resolve().name).lstrip("._-")
    return name or "run"


def _allow_our_components(workspace: Path) -> None:
    """NVFlare builds only listed classes for jobs without code; sites of a federation list these too."""
    local = workspace / "local"
    local.mkdir(parents=True)
    (local / "resources.json").write_text(
        json.dumps({"format_version": 2, "class_allow_list": list(ALLOWED_CLASSES)})
    )


def _environment(sites: list[str], settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **KEEP_MEMORY, **settings, **thread_limits(threads_of_each(len(sites)))}


def _follow(process: subprocess.Popen[bytes], workspace: Path, run_id: str, watch: Watch | None) -> None:
    """Pass events on until the run has ended; notice a site whose process died.

    NVFlare 2.9's simulator goes on waiting for a site whose worker was killed,
    and takes seconds to tear down after the record is complete: neither is waited for.
    """
    events = run_in_workspace(workspace / _SERVER, run_id) / "events.jsonl"
    read = 0
    while True:
        ended = process.poll() is not None
        # looked for before the events are read: after the last event the sites' processes end too
        dead = dead_sites(workspace)
        if events.is_file():
            text = events.read_text(encoding="utf-8")
            complete = text.rfind("\n") + 1
            for line in text[read:complete].splitlines():
                event = json.loads(line)
                if watch:
                    watch(event)
                ended = ended or event["event"] == "end"
            read = complete
        if ended:
            return
        if dead:
            raise RunCrashed("MS-R006", f"the process of site {', '.join(dead)} died during the run")
        time.sleep(_POLL_S)


def _collect(workspace: Path, run_dir: Path, sites: list[str]) -> None:
    """Move what the run left from NVFlare's workspace to the run directory."""
    server = workspace / _SERVER
    _move(run_in_workspace(server, _run_id(run_dir)), run_dir)
    for name in (_SERVER, *sites):
        for log in sorted((workspace / name).rglob("log.txt")):
            shutil.copyfile(log, run_dir / "logs" / f"{name}.log")
    for site in sites:
        _move(run_in_workspace(workspace / site, _run_id(run_dir)), run_dir / "sites" / site)
    for which in ("last", "best"):
        # in a swarm every site keeps the models and the server none
        kept = [run_dir / "sites" / site / which for site in sites]
        if not (run_dir / which).exists() and kept and kept[0].is_dir():
            shutil.copytree(kept[0], run_dir / which, copy_function=os.link)


def _move(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for entry in sorted(source.iterdir()):
            if entry.name not in _FOR_GOING_ON:
                shutil.move(entry, target / entry.name)


def _note_end(run_dir: Path, error: MediSwarmError) -> None:
    """Say in the record how a run ended whose server could not."""
    file = run_dir / "run.json"
    if file.is_file():
        record = json.loads(file.read_text(encoding="utf-8"))
        end = {"state": state_of(error), "error": error.as_dict(), "finished": now()}
        write_whole(file, json.dumps(record | end, indent=2) + "\n")


def _record(run_dir: Path, log: Path) -> dict[str, Any]:
    file = run_dir / "run.json"
    if not file.is_file():
        raise RunCrashed("MS-R008", "NVFlare's simulator ended before the run began", file=log)
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if record["error"]:
        raise error_from_dict(record["error"])
    if record["state"] != "succeeded":
        crash = RunCrashed("MS-R008", f"the run ended while {record['state']}", file=log)
        _note_end(run_dir, crash)
        raise crash
    return record
