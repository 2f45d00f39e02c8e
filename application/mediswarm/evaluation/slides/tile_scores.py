"""What each tile of a patient adds to the prediction, and how much attention it gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from mediswarm.evaluation.predictions import Floats
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.models.bags.attention import Attention
from mediswarm.models.bags.bag import Bag
from mediswarm.models.bags.barspoon import Barspoon
from mediswarm.models.bags.gated_attention import GatedAttention
from mediswarm.models.bags.vit import TileTransformer
from mediswarm.pipelines.stamp.tasks import Task
from mediswarm.pipelines.stamp.tasks.classification import Classification
from mediswarm.pipelines.stamp.tasks.multi_target import MultiTarget

ATTENTION = "attention"
_Shares = list[torch.Tensor]


def tile_scores(trained: TrainedModel, bag: Bag) -> dict[str, Floats]:
    """Numbers of each tile, [T], by name.

    `score_<output>` is gradient times input (Shrikumar et al., 2016), summed over the tile's features: to
    first order, what the tile adds to that output. An output is the log odds of a category, the most probable
    one first, a number in its unit, or the log risk. It is defined for every network; for a linear one the
    tiles' scores and the bias add up to the output.

    `attention…`, of networks that have it, is the tile's share in the gated attention (`abmil`; `clam`, by
    category), or in what the class token takes from the tiles in the last layer (`vit`; `barspoon`, by
    label), the mean over heads: times the number of tiles, so that 1 is an even share.

    Args:
        trained: the model.
        bag: of one patient, without padding, [T, …].
    """
    task, batch = trained.pipeline.task, {name: part[None].to(trained.device) for name, part in bag.items()}
    features = batch["features"].float().requires_grad_()
    with _attention_of(trained.network) as seen:
        output = trained.network(batch | {"features": features})
    found: dict[str, Floats] = {}
    for name, value in _outputs(task, output[0]).items():
        (gradient,) = torch.autograd.grad(value, features, retain_graph=True)
        found[f"score_{name}"] = (gradient * features).detach().sum(dim=-1)[0].double().cpu().numpy()
    tiles = len(bag["features"])
    for shares in seen:
        names = _branches(task, shares.shape[1])
        for name, share in zip(names, shares.T, strict=True):
            found[name] = (share * tiles).double().cpu().numpy()
    return found


def _outputs(task: Task, output: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is explained, by name, from the outputs of one patient [outputs]."""
    if isinstance(task, Classification):
        return _log_odds(task.config.categories, output)
    if isinstance(task, MultiTarget):
        parts = torch.split(output, list(task.groups))
        return {
            f"{target.label}_{name}": value
            for target, part in zip(task.config.targets, parts, strict=True)
            for name, value in _log_odds(target.categories, part).items()
        }
    return {task.prediction_columns()[0]: output[0]}


def _log_odds(categories: tuple[str, ...], logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """A logit alone says nothing: adding the same to all of them changes no probability."""
    others = [torch.cat([logits[:place], logits[place + 1 :]]) for place in range(len(categories))]
    return {
        categories[place]: logits[place] - others[place].logsumexp(dim=0)
        for place in logits.argsort(descending=True).tolist()
    }


def _branches(task: Task, count: int) -> list[str]:
    if count == 1:
        return [ATTENTION]
    names = task.config.categories if isinstance(task, Classification) else task.columns
    return [f"{ATTENTION}_{name}" for name in names]


@contextmanager
def _attention_of(network: nn.Module) -> Iterator[_Shares]:
    """Shares [T, branches] of the tiles, as the network gives them to one patient while this is open."""
    seen: _Shares = []

    def gated(_: nn.Module, __: Any, log_shares: torch.Tensor) -> None:
        seen.append(log_shares[0].detach().exp())

    def class_tokens(module: Attention, given: tuple[Any, ...], others: int) -> None:
        with torch.no_grad():
            tiles = module.shares(*given)[0].mean(dim=0)[:, others:]
            seen.append((tiles / tiles.sum(dim=1, keepdim=True)).T)

    handles = []
    for module in network.modules():
        if isinstance(module, GatedAttention):
            handles.append(module.register_forward_hook(gated))
        elif isinstance(module, TileTransformer):
            # what is attended to begins with the class token itself
            hook = partial(class_tokens, others=1)
            handles.append(module.layers[-1].get_submodule("attention").register_forward_pre_hook(hook))
        elif isinstance(module, Barspoon):
            hook = partial(class_tokens, others=0)
            handles.append(module.decoder[-1].get_submodule("tiles").register_forward_pre_hook(hook))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
