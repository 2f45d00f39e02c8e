"""The updates of one swarm round at the site that aggregates it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch

from mediswarm.aggregation.fedavg import FedAvgStrategy
from mediswarm.aggregation.interface import weight_of
from mediswarm.aggregation.mean import require_fit
from mediswarm.pipelines.learner import Weights
from mediswarm.training.crossing import Contribution
from mediswarm.training.tensor_views import tensors_in


class PendingUpdates:
    """Updates wait on disk, however many sites there are, until the server says whose count.

    Args:
        round_: the round that is collected.
        strategy: holds the model that the round received.
        folder: where updates wait; removed with the round.
    """

    def __init__(self, round_: int, strategy: FedAvgStrategy, folder: Path) -> None:
        self.round, self.strategy, self.folder = round_, strategy, folder
        self.contributions: dict[str, Contribution] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, site: str, contribution: Contribution) -> float:
        """Keep a site's update; gives the weight it would have.

        Raises:
            ContractError: MS-C003 or MS-C005; nothing is kept then.
        """
        require_fit(contribution.update, self.strategy.weights)
        weight = weight_of(contribution, self.strategy.weigh_by)
        safetensors.torch.save_file(dict(contribution.update), self._file(site))
        self.contributions[site] = replace(contribution, update={})
        return weight

    def commit(self, sites: tuple[str, ...]) -> tuple[Weights, bool]:
        """The next model from the updates of `sites`, and whether a trainable parameter changed."""
        before = self.strategy.weights
        for site in sites:
            update = tensors_in(self._file(site))
            self.strategy.add(replace(self.contributions[site], update=update))
        self.strategy.commit()
        shutil.rmtree(self.folder)
        after = self.strategy.weights
        return after, any(not torch.equal(after[name], before[name]) for name in self.strategy.trainable)

    def _file(self, site: str) -> Path:
        return self.folder / f"{site}.safetensors"
