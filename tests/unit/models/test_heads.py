"""From outputs to class probabilities: the two heads against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mediswarm.models.heads import Head, log_probabilities, outputs_of
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig

HEADS: tuple[Head, ...] = ("softmax", "ordinal")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_probabilities_sum_to_one(head: Head, classes: int, scale: float) -> None:
    output = scale * torch.randn(7, outputs_of(head, classes), generator=torch.Generator().manual_seed(0))
    probabilities = log_probabilities(head, output).exp()
    assert probabilities.shape == (7, classes)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(7))


def test_the_ordinal_head_multiplies_conditional_probabilities() -> None:
    conditional = np.array([[0.9, 0.4], [0.2, 0.7]])  # P(above 0), P(above 1 | above 0)
    output = torch.tensor(np.log(conditional / (1 - conditional)))
    above = np.cumprod(conditional, axis=1)
    expected = np.stack([1 - above[:, 0], above[:, 0] - above[:, 1], above[:, 1]], axis=1)
    np.testing.assert_allclose(log_probabilities("ordinal", output).exp().numpy(), expected, rtol=1e-5)


def pipeline(head: Head, counts: list[float] | None = None) -> Odelia:
    small = {"input_size": (16, 16, 8), "backbone": {"name": "cnn3d", "width": 4}, "head": head}
    made = Odelia(OdeliaConfig.model_validate(small))
    made.agree({"class_counts": counts} if counts else {})
    return made


def test_the_ordinal_loss_is_that_of_corns_tasks() -> None:
    output = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([0, 1, 2, 2, 1, 0])
    expected = torch.tensor(0.0)
    for task in (0, 1):
        reached = target >= task  # the cases that the task is conditional on
        answers = (target[reached] > task).float()
        expected += binary_cross_entropy_with_logits(output[reached, task], answers, reduction="sum")
    torch.testing.assert_close(pipeline("ordinal").loss(output, target), expected / 6)


@pytest.mark.parametrize("head", HEADS)
def test_class_weights_apply_to_both_heads(head: Head) -> None:
    weighted, plain = pipeline(head, [8.0, 4.0, 4.0]), pipeline(head)
    output = torch.randn(3, outputs_of(head, 3), generator=torch.Generator().manual_seed(2))
    weights = [16 / (3 * count) for count in (8, 4, 4)]
    for label, weight in enumerate(weights):
        one, target = output[label : label + 1], torch.tensor([label])
        torch.testing.assert_close(weighted.loss(one, target), weight * plain.loss(one, target))
    if head == "softmax":
        target = torch.tensor([2, 0, 1])
        torch.testing.assert_close(plain.loss(output, target), cross_entropy(output, target))


@pytest.mark.parametrize("head", HEADS)
def test_a_network_has_the_outputs_of_its_head(head: Head) -> None:
    made = pipeline(head)
    output = made.model().eval()(torch.randn(2, 1, 16, 16, 8))
    assert output.shape == (2, outputs_of(head, 3))
    predictions = made.predict(output.detach())
    assert predictions.shape == (2, len(made.prediction_columns()))
    assert made.count(predictions, torch.tensor([0, 2]))["cases"] == [2.0]
