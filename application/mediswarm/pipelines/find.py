"""From a job to its pipeline: built in, from an installed package, or a file in the job."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mediswarm.errors import JobError, PipelineError
from mediswarm.pipelines.base import Pipeline
from mediswarm.spec import Job, Strict
from mediswarm.spec.explain import explain
from mediswarm.spec.yaml_lines import read_yaml

BUILT_IN = {
    "smoke": "mediswarm.pipelines.smoke:Smoke",
    "cifar10": "mediswarm.pipelines.cifar10:Cifar10",
    "linear": "mediswarm.pipelines.linear:Linear",
    "odelia": "mediswarm.pipelines.odelia:Odelia",
    "stamp": "mediswarm.pipelines.stamp:Stamp",
    "tabular": "mediswarm.pipelines.tabular:Tabular",
}
ENTRY_POINT_GROUP = "mediswarm.pipelines"
MODULE_PREFIX = "mediswarm_job_"
"""Of the modules made of jobs' own files."""


def load_pipeline(job: Job) -> Pipeline[Any]:
    """The job's pipeline with the job's config.

    Raises:
        PipelineError: MS-P001 unknown name, MS-P002 file that cannot be loaded.
            MS-P003 class that lacks a part of the interface.
            Also for a contract that is not plain JSON.
        JobError: MS-J009 the `config:` section is not the pipeline's, MS-J010
            the selection metric is no quality that it reports (R17), MS-B056 batches are too small,
            MS-J017 the loss does not go with the workflow.
    """
    kind = find_pipeline_class(job)
    _require_complete(kind)
    file = job.folder / "job.yml"
    lines = read_yaml(file)[1] if file.is_file() else {}
    try:
        config = kind.Config.model_validate(job.config)
    except ValidationError as error:
        raise explain(error, kind.Config, file, lines, prefix=("config",), code="MS-J009") from error
    pipeline = kind(config, job.folder)
    require_plain_contract(pipeline)
    if job.selection.metric not in pipeline.qualities:
        raise JobError(
            "MS-J010",
            f"selection.metric is {job.selection.metric!r}, but pipeline {job.pipeline} "
            f"reports {', '.join(pipeline.qualities)}",
            file=file,
            line=lines.get(("selection", "metric")),
        )
    if job.training.batch_size < pipeline.smallest_batch:
        raise JobError(
            "MS-B056",
            f"training.batch_size is {job.training.batch_size}, and with this config a batch needs "
            f"{pipeline.smallest_batch}",
            file=file,
            line=lines.get(("training", "batch_size")),
        )
    weighted_by = getattr(job.workflow, "weights", None)
    if pipeline.sums_each_round and weighted_by != "cases":
        raise JobError(
            "MS-J017",
            f"the loss of this config is of all sites together, and workflow {job.workflow.name} "
            + (f"weighs sites by {weighted_by}" if weighted_by else "does not average"),
            file=file,
            line=lines.get(("workflow", "weights"), lines.get(("workflow",))),
        )
    return pipeline


def find_pipeline_class(job: Job) -> type[Pipeline[Any]]:
    """The class that `job.pipeline` names."""
    if job.ships_code:
        return pipeline_class_in_file(job.folder / job.pipeline.removeprefix("./"))
    if job.pipeline in BUILT_IN:
        module, _, name = BUILT_IN[job.pipeline].partition(":")
        found: type[Pipeline[Any]] = getattr(importlib.import_module(module), name)
        return found
    installed = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if job.pipeline not in installed:
        file = job.folder / "job.yml"
        raise PipelineError(
            "MS-P001",
            f"there is no pipeline {job.pipeline!r}; known are {', '.join(sorted({*BUILT_IN, *installed}))}",
            file=file,
            line=read_yaml(file)[1].get(("pipeline",)) if file.is_file() else None,
        )
    try:
        loaded = installed[job.pipeline].load()
    except Exception as error:
        raise PipelineError(
            "MS-P002",
            f"loading entry point {job.pipeline!r} raised {type(error).__name__}: {error}",
            repair="Install the package that provides the pipeline again, or mend it.",
        ) from error
    if not (inspect.isclass(loaded) and issubclass(loaded, Pipeline)):
        raise PipelineError("MS-P003", f"entry point {job.pipeline!r} is not a Pipeline class")
    return loaded


def _require_complete(kind: type[Pipeline[Any]]) -> None:
    file = inspect.getsourcefile(kind)
    config = getattr(kind, "Config", None)
    if not (inspect.isclass(config) and issubclass(config, Strict)):
        raise PipelineError(
            "MS-P003",
            f"{kind.__name__} declares no Config",
            repair="Set `Config` to a subclass of mediswarm.pipelines.Config.",
            file=file,
        )
    if missing := sorted(kind.__abstractmethods__):
        raise PipelineError(
            "MS-P003",
            f"{kind.__name__} lacks {', '.join(missing)}",
            repair="Define what the message names; docs/developer.md shows each.",
            file=file,
        )


def require_plain_contract(pipeline: Pipeline[Any], measured: dict[str, Any] | None = None) -> dict[str, Any]:
    """The pipeline's contract with what the data adds to it, which sites send and compare as JSON.

    Raises:
        PipelineError: MS-P003 when it is not equal to what JSON makes of it.
    """
    file = inspect.getsourcefile(type(pipeline))
    own = pipeline.contract()
    if not isinstance(own, dict):
        raise PipelineError("MS-P003", f"contract() gave a {type(own).__name__}, not a dict", file=file)
    contract = own | (measured or {})
    try:
        arrives = json.loads(json.dumps(contract, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PipelineError("MS-P003", f"contract() must give JSON values ({error})", file=file) from error
    if arrives != contract:
        raise PipelineError(
            "MS-P003",
            "contract() must give plain JSON values: lists instead of tuples, text keys",
            file=file,
        )
    return contract


def pipeline_class_in_file(file: Path) -> type[Pipeline[Any]]:
    """The one Pipeline class that a Python file defines.

    Raises:
        PipelineError: MS-P002 when the file fails to import or defines none or several.
    """
    name = f"{MODULE_PREFIX}{file.parent.name}_{file.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PipelineError("MS-P002", "this is not a Python file", file=file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script that was mistaken for a pipeline may exit
        raise PipelineError(
            "MS-P002", f"importing it raised {type(error).__name__}: {error}", file=file
        ) from error
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Pipeline) and value.__module__ == name
    ]
    if len(found) != 1:
        names = ", ".join(value.__name__ for value in found) or "none"
        raise PipelineError("MS-P002", f"it must define exactly one Pipeline, and defines {names}", file=file)
    return found[0]
