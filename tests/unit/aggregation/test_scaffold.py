"""SCAFFOLD's control variates under unequal weights."""

from __future__ import annotations

import torch

from mediswarm.aggregation.scaffold import ScaffoldStrategy
from mediswarm.training.crossing import Contribution


def contribution(cases: int, update: float, change: float) -> Contribution:
    return Contribution(
        round=0,
        cases=cases,
        steps=1,
        loss=0.0,
        update={"w": torch.tensor([update])},
        control={"w": torch.tensor([change])},
    )


def test_the_corrections_cancel_under_the_weights_of_the_updates():
    strategy = ScaffoldStrategy({"w": torch.zeros(1)}, {"w"}, "cases", server_lr=1.0, sites=2)
    own = {30: -1.0, 90: 0.6}
    for cases, change in own.items():
        strategy.add(contribution(cases, 0.0, change))
    strategy.commit()
    corrections = [cases * (strategy.control()["w"] - change) for cases, change in own.items()]
    torch.testing.assert_close(sum(corrections), torch.zeros(1))


def test_an_absent_site_counts_with_its_share():
    strategy = ScaffoldStrategy({"w": torch.zeros(1)}, {"w"}, "cases", server_lr=1.0, sites=4)
    strategy.add(contribution(30, 0.0, 1.0))
    strategy.commit()
    torch.testing.assert_close(strategy.control()["w"], torch.tensor([0.25]))
