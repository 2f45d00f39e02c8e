"""What federation bought each site: local and federated training of one job, judged on the same cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mediswarm.aggregation.ledger import Watch
from mediswarm.aggregation.reference import ReferenceRun, local_variant
from mediswarm.errors import UsageError
from mediswarm.evaluation.classification import evaluate_predictions
from mediswarm.evaluation.comparison import summarise, write_summary
from mediswarm.evaluation.paired import compare_predictions
from mediswarm.evaluation.report import write_report
from mediswarm.evaluation.result import FEDERATED, LOCAL, Difference, Result
from mediswarm.evaluation.roc import roc_curves
from mediswarm.evaluation.run_folder import read_run
from mediswarm.flare.process_environment import threads_of_each
from mediswarm.flare.simulator import simulate
from mediswarm.flare.site_settings import weights_store
from mediswarm.pipelines.base import Site
from mediswarm.pipelines.classification import ClassificationPipeline
from mediswarm.pipelines.find import load_pipeline
from mediswarm.spec import Job

Viewer = Callable[[str], AbstractContextManager[Watch]]
"""Given a title, a context whose value watches the events of one run."""


@dataclass
class FederationGain:
    """Trains a job at each site alone and by all together, into `folder`.

    Every method has as many rounds of the same work, chooses its best model on
    the site's validation cases, and is judged on the site's test cases.
    """

    job: Job
    sites: list[str]
    data_dir: Path | None
    folder: Path
    viewer: Viewer

    def __post_init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def train_local(self) -> None:
        """Train each site alone, into ``<folder>/local/<SITE>``.

        With as many threads as a site has in the simulation, since they change the sums.
        """
        torch.set_num_threads(threads_of_each(len(self.sites)))
        with self.phase("local training"):
            for site in self.sites:
                with self.viewer(f"local at {site}") as watch:
                    where = Site(site, self.data_dir)
                    job = local_variant(self.job)
                    folder = self.folder / "local" / site
                    ReferenceRun(job, [where], folder, f"local-{site}", watch, weights_store()).run()

    def train_federated(self) -> None:
        """Train all sites together through NVFlare, into ``<folder>/federated``."""
        with self.phase("federated training"), self.viewer(f"federated, {len(self.sites)} sites") as watch:
            simulate(self.job, self.sites, self.folder / "federated", self.data_dir, watch=watch)

    def evaluate(self) -> tuple[list[Result], list[Difference], dict[str, Any]]:
        """Judge both on every site's test cases; writes summary.json and report.html.

        Returns:
            results, paired differences, and the summary.

        Raises:
            UsageError: MS-U004 for a pipeline that is no classification.
        """
        pipeline = load_pipeline(self.job)
        if not isinstance(pipeline, ClassificationPipeline):
            raise UsageError(
                "MS-U004",
                f"pipeline {self.job.pipeline} is no classification: there are no classes to compare",
            )
        classes = pipeline.classes
        with self.phase("evaluation"):
            results, differences, curves = [], [], []
            for site in self.sites:
                tables = {
                    LOCAL: self.folder / "local" / site / "sites" / site / "predictions" / "test.csv",
                    FEDERATED: self.folder / "federated" / "sites" / site / "predictions" / "test.csv",
                }
                for method, table in tables.items():
                    results += evaluate_predictions(table, site, method, classes)
                    curves += roc_curves(table, site, method, classes)
                difference = compare_predictions(tables[LOCAL], tables[FEDERATED], site, classes)
                differences += [difference] if difference else []
        facts = read_run(
            self.folder / "federated", description=self.job.description, classes=classes, seconds=self.seconds
        )
        write_report(self.folder / "report.html", facts, results, differences=differences, curves=curves)
        summary = summarise(results, job=self.job.name, seconds=self.seconds, differences=differences)
        write_summary(self.folder / "summary.json", summary)
        return results, differences, summary

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note how long a phase takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - started
