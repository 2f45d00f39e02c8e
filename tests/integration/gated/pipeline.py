"""The smoke pipeline, whose training waits while a test holds it: faults meet a round in its middle."""

from __future__ import annotations

import time

from typing_extensions import override

from mediswarm.pipelines.base import Site, SiteData
from mediswarm.pipelines.learner import Learner, RoundPlan, RoundResult
from mediswarm.pipelines.smoke import Smoke
from mediswarm.spec import Training
from mediswarm.training.torch_learner import TorchLearner


class Gated(Smoke):
    @override
    def learner(self, data: SiteData, training: Training, site: Site) -> Learner:
        return _GatedLearner(self, data, training, site)


class _GatedLearner(TorchLearner):
    """Notes each round in ``begun.txt`` of the data directory, and waits while ``hold-ROUND`` is there.

    It does not listen to an abort, like a batch that takes minutes.
    """

    def __init__(self, pipeline: Gated, data: SiteData, training: Training, site: Site) -> None:
        super().__init__(pipeline, data, training, site.device)
        self.place = site.data_dir

    @override
    def train(self, plan: RoundPlan) -> RoundResult:
        if self.place is not None:
            with (self.place / "begun.txt").open("a") as stream:
                stream.write(f"{plan.round}\n")
            while (self.place / f"hold-{plan.round}").exists():
                time.sleep(0.02)
        return super().train(plan)
