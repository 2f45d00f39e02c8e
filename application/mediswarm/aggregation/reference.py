"""The reference loop: all sites in one process, no network, no NVFlare.

It trains a single site (local training), several in turn (the oracle against
which NVFlare runs are held), and carries studies with many seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mediswarm.aggregation.coordinator import Coordinator
from mediswarm.aggregation.ledger import Watch
from mediswarm.errors import MediSwarmError, RunFailed, code_of
from mediswarm.pipelines.base import Site
from mediswarm.pipelines.counts import Counts, add_counts
from mediswarm.pipelines.find import load_pipeline
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Cyclic, FedAvg, Job
from mediswarm.training.crossing import Judgement
from mediswarm.training.site_run import SiteRun


class ReferenceRun:
    """One run in this process.

    Args:
        job: what is trained.
        sites: who takes part.
        folder: the run directory; predictions go to ``<folder>/sites/<SITE>/predictions``.
        run_id: the run's name in its record.
        watch: called with each event of the run as it happens.
        weights_store: where pretrained weights are; None for the account's own store.
    """

    def __init__(
        self,
        job: Job,
        sites: Iterable[Site],
        folder: Path,
        run_id: str = "reference",
        watch: Watch | None = None,
        weights_store: Path | None = None,
    ) -> None:
        self.job = job
        self.centre = Coordinator(job, load_pipeline(job), folder, run_id, watch, weights_store=weights_store)
        self.sites = {
            site.name: SiteRun(job, load_pipeline(job), site, folder / "sites" / site.name) for site in sites
        }

    def run(self) -> dict[str, Any]:
        """Train all rounds, judge, and write the record.

        Returns:
            the run record.

        Raises:
            MediSwarmError: whatever ended the run; the record says so too.
        """
        centre = self.centre
        try:
            order = centre.admit({name: site.introduce() for name, site in self.sites.items()}, {})
            for round_ in range(self.job.workflow.rounds):
                sums = self._measured(round_, order)
                for name in order:
                    centre.accept(name, self.sites[name].contribute(centre.order(round_, sums)))
                centre.end_round(round_)
                if isinstance(self.job.workflow, Cyclic):
                    centre.judged(self._judge(order, self.weights, keep_predictions=False))
            if not isinstance(self.job.workflow, Cyclic):
                centre.judged(self._judge(order, self.weights, keep_predictions=False))
            centre.finish(self._judge(order, centre.best_weights(), keep_predictions=True))
        except MediSwarmError as error:
            centre.ledger.fail(error)
            raise
        except KeyboardInterrupt:
            centre.ledger.fail(RunFailed("MS-R007", "the run was stopped"))
            raise
        except Exception as error:
            centre.ledger.fail(RunFailed(code_of(error), f"{type(error).__name__} at a site"))
            raise
        finally:
            centre.close()
            for site in self.sites.values():
                site.close()
        return centre.ledger.record()

    @property
    def weights(self) -> Weights:
        """The shared weights as they are now."""
        return self.centre.strategy.weights

    def _measured(self, round_: int, sites: list[str]) -> Counts:
        if not self.centre.pipeline.sums_each_round:
            return {}
        order = self.centre.measure_order(round_)
        return add_counts(self.sites[name].measure(order).statistics for name in sites)

    def _judge(
        self, sites: list[str], weights: Weights | None, keep_predictions: bool
    ) -> dict[str, Judgement]:
        totals = self.centre.totals
        shown = None if weights is None else self.centre.shown(weights)
        return {name: self.sites[name].judge(shown, totals, keep_predictions) for name in sites}


def local_variant(job: Job) -> Job:
    """The same job for one site alone: as many rounds of the same work, and nobody to average with."""
    workflow = FedAvg(rounds=job.workflow.rounds, round_budget=job.workflow.round_budget)
    return job.varied(workflow=workflow)
