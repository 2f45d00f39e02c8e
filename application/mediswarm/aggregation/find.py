"""From a job's workflow to its strategy."""

from __future__ import annotations

from mediswarm.aggregation.cyclic import CyclicStrategy
from mediswarm.aggregation.fedavg import FedAvgStrategy
from mediswarm.aggregation.fedopt import FedOptStrategy
from mediswarm.aggregation.interface import Strategy
from mediswarm.aggregation.scaffold import ScaffoldStrategy
from mediswarm.pipelines.learner import Weights
from mediswarm.spec import Cyclic, FedOpt, Scaffold, Workflow


def strategy_for(workflow: Workflow, weights: Weights, trainable: set[str], sites: int) -> Strategy:
    """The strategy of `workflow` for a run of `sites` sites that starts from `weights`."""
    if isinstance(workflow, Cyclic):
        return CyclicStrategy(weights, trainable)
    if isinstance(workflow, FedOpt):
        return FedOptStrategy(weights, trainable, workflow.weights, workflow.server_optimizer)
    if isinstance(workflow, Scaffold):
        return ScaffoldStrategy(weights, trainable, workflow.weights, workflow.server_lr, sites)
    return FedAvgStrategy(weights, trainable, workflow.weights)
