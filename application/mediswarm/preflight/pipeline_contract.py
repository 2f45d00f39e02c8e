"""The contract test: does a pipeline keep every rule of the interface?

A pipeline's author runs it with ``mediswarm job test PATH``; our own tests run
it on every pipeline that comes with MediSwarm.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mediswarm.aggregation.reference import ReferenceRun, local_variant
from mediswarm.data.findings import Finding, raise_on_failure
from mediswarm.errors import (
    ArtefactError,
    ContractError,
    DataError,
    HostError,
    JobError,
    MediSwarmError,
    PipelineError,
    RunFailed,
    UsageError,
)
from mediswarm.pipelines.base import Pipeline, Site, SiteData, read_site
from mediswarm.pipelines.counts import add_counts
from mediswarm.pipelines.find import find_pipeline_class, load_pipeline, require_plain_contract
from mediswarm.pipelines.learner import Learner
from mediswarm.preflight.data import check_data
from mediswarm.spec import FedAvg, Job, LocalWork
from mediswarm.training.artefact import load_artefact
from mediswarm.training.site_run import initial_weights
from mediswarm.training.torch_learner import TorchLearner


def check_pipeline(job: Job, data_dir: Path | None = None, site: str | None = None) -> list[Finding]:
    """Run every rule, in order; later rules are left out when an earlier one that they need fails.

    Args:
        job: the job whose pipeline is tested, with its config.
        data_dir: data to read; None for a pipeline that makes its own.
        site: the site to read; the first in the data by default.
    """
    own_learner = find_pipeline_class(job).learner is not Pipeline.learner
    # steps are short at any site; but a learner of the pipeline's own need not count in steps
    work = {"epochs": 1 if own_learner else None, "steps": None if own_learner else 2, "epochs_scaled": None}
    training = job.training.model_copy(update={"local": LocalWork.model_validate(work)})
    # pretrained weights are with the server; the rules hold for any
    short = job.varied(workflow=FedAvg(rounds=1), training=training, pretrained=None)
    findings: list[Finding] = []
    bench = Bench(short, data_dir, site)
    for title, rule in RULES.items():
        try:
            findings.append(Finding.passed(title, rule(bench)))
        except MediSwarmError as error:
            findings.append(Finding.of(error, title))
            return findings
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            raised = PipelineError("MS-P003", f"it raised {type(error).__name__}: {error}", file=job.folder)
            findings.append(Finding.of(raised, title))
            return findings
    return findings


def exit_code_of(findings: list[Finding]) -> int:
    """The exit code of the class of the first error found; 0 if there is none."""
    failed = [finding.code for finding in findings if finding.status == "FAIL" and finding.code]
    # the letter of a code, as in MS-P003, names its series
    return _SERIES[failed[0][len("MS-")]].exit_code if failed else 0


_SERIES: dict[str, type[MediSwarmError]] = {
    "U": UsageError,
    "J": JobError,
    "P": PipelineError,
    "D": DataError,
    "C": ContractError,
    "R": RunFailed,
    "A": ArtefactError,
    "E": DataError,
    "G": ArtefactError,
    "H": HostError,
    "X": DataError,
    "B": DataError,
}


@dataclass
class Bench:
    """What the rules build up and share."""

    job: Job
    data_dir: Path | None
    site_name: str | None

    def __post_init__(self) -> None:
        self.pipeline: Pipeline[Any] = load_pipeline(self.job)
        names = self.pipeline.sites(self.data_dir)
        if not names:
            raise UsageError("MS-U002", "the data directory holds no site", file=self.data_dir)
        self.site = Site(self.site_name or names[0], self.data_dir)
        self.data: SiteData
        self.learner: Learner


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise PipelineError("MS-P003", rule)


def _contract(bench: Bench) -> str:
    # both were found to be plain JSON when the pipeline was loaded
    first, second = bench.pipeline.contract(), load_pipeline(bench.job).contract()
    _require(first == second, "contract() must give the same values each time")
    return ", ".join(sorted(first))


def _metric_names(bench: Bench) -> str:
    names = bench.pipeline.reported
    _require(len(set(names)) == len(names) > 0, "reported must name each metric once")
    return ", ".join(names)


def _data(bench: Bench) -> str:
    bench.data = read_site(bench.pipeline, bench.site)
    require_plain_contract(bench.pipeline, bench.data.measured)
    splits = {"train": bench.data.train, "validation": bench.data.validation, "test": bench.data.test}
    _require(
        len(splits["train"]) > 0 and len(splits["validation"]) > 0,
        "there must be training and validation cases",
    )
    return (
        ", ".join(f"{len(cases)} {name}" for name, cases in splits.items()) + f" cases at {bench.site.name}"
    )


def _check(bench: Bench) -> str:
    found = check_data(bench.pipeline, bench.site)
    _require(
        isinstance(found, list) and all(isinstance(finding, Finding) for finding in found),
        "check() must give a list of Findings",
    )
    raise_on_failure(found)
    return f"{len(found)} finding(s), none of them a failure"


def _reading_is_deterministic(bench: Bench) -> str:
    for cases in (bench.data.train, bench.data.validation):
        for index in {0, len(cases) - 1}:
            first, second = cases.dataset[index], cases.dataset[index]
            _require(
                _equal(first, second),
                "dataset[i] must always be the same: random changes belong into augment()",
            )
    return "the same case is read the same way each time"


def _statistics(bench: Bench) -> str:
    counts = bench.pipeline.statistics(bench.data)
    try:
        total = add_counts([counts, counts])
    except (TypeError, ValueError) as error:
        raise PipelineError(
            "MS-P003", f"statistics() must give lists of numbers that can be summed ({error})"
        ) from error
    bench.pipeline.agree(total)
    return ", ".join(sorted(counts)) or "none"


def _model(bench: Bench) -> str:
    weights, trainable, kind = initial_weights(bench.job, bench.pipeline, bench.pipeline.totals)
    again, _, _ = initial_weights(bench.job, bench.pipeline, bench.pipeline.totals)
    same = weights.keys() == again.keys() and all(torch.equal(weights[name], again[name]) for name in weights)
    _require(same, "model() must draw its initial weights from torch's global generator and nothing else")
    _require(bool(trainable), "model() must have trainable parameters")
    without, _, _ = initial_weights(bench.job, load_pipeline(bench.job), {})
    shapes = {name: value.shape for name, value in without.items()}
    _require(
        shapes == {name: value.shape for name, value in weights.items()},
        "model() must have the same parameters before the sites have agreed on totals",
    )
    return f"{kind}, {sum(weights[name].numel() for name in trainable):,} parameters"


def _learner(bench: Bench) -> str:
    bench.learner = bench.pipeline.learner(bench.data, bench.job.training, bench.site) or TorchLearner(
        bench.pipeline, bench.data, bench.job.training
    )
    weights = {name: value.clone() for name, value in bench.learner.weights().items()}
    bench.learner.load(weights)
    after = bench.learner.weights()
    _require(
        all(torch.equal(after[name], weights[name]) for name in weights),
        "load() then weights() must be identity",
    )
    try:
        bench.learner.load({"no_such_parameter": torch.zeros(1)})
    except ContractError:
        return type(bench.learner).__name__
    raise PipelineError("MS-P003", "load() must refuse a parameter that the model does not have")


def _judgement(bench: Bench) -> str:
    pipeline, cases = bench.pipeline, bench.data.validation
    predictions = bench.learner.predict(cases)
    again = bench.learner.predict(cases)
    _require(
        torch.equal(predictions.outputs, again.outputs), "predict() must give the same answers each time"
    )
    _require(len(predictions.outputs) == len(cases), "predict() must give one prediction for each case")
    judged = len(cases) * max(1, len(pipeline.parts))
    columns = predictions.outputs.reshape(judged, -1).shape[1]
    _require(
        len(pipeline.prediction_columns()) == columns, f"prediction_columns() must name {columns} columns"
    )
    counts = pipeline.count(predictions.outputs, predictions.targets)
    metrics = pipeline.metrics(add_counts([counts, counts]))
    _require(
        set(metrics) == set(pipeline.reported), "metrics() must give exactly the metrics that reported names"
    )
    pipeline.metrics(pipeline.count(predictions.outputs[:1], predictions.targets[:1]))
    return f"{len(counts)} counts, {len(metrics)} metrics; one case alone is judged without an error"


def _a_round_of_two_sites(bench: Bench) -> str:
    with tempfile.TemporaryDirectory() as folder:
        names = bench.pipeline.sites(bench.data_dir)[:2]
        sites = [Site(name, bench.data_dir) for name in names]
        run = ReferenceRun(bench.job, sites, Path(folder))
        record = run.run()
        store = run.centre.store
        loaded = store.load("last")
        _require(
            all(torch.equal(loaded[name], value) for name, value in run.weights.items()),
            "a saved model must load as it was",
        )
        try:
            load_artefact(
                Path(folder) / "last", local_variant(bench.job), bench.pipeline.contract(), "another:model"
            )
        except ArtefactError:
            return f"{', '.join(record['participants'])} trained, saved and reloaded a model"
    raise PipelineError("MS-P003", "a model of another architecture must be refused")


RULES: dict[str, Callable[[Bench], str]] = {
    "data contract": _contract,
    "metric names": _metric_names,
    "site data": _data,
    "site check": _check,
    "reading": _reading_is_deterministic,
    "statistics": _statistics,
    "model": _model,
    "learner": _learner,
    "judgement": _judgement,
    "a federated round": _a_round_of_two_sites,
}


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        # NaN stands for a missing value, and is equal to itself
        return (
            isinstance(second, torch.Tensor)
            and first.shape == second.shape
            and bool(torch.isclose(first, second, rtol=0, atol=0, equal_nan=True).all())
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(_equal(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    return bool(first == second)
