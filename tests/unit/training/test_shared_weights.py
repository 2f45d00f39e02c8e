"""What of a model leaves a site, and what an update is."""

from __future__ import annotations

import math

import pytest
import torch

from mediswarm.errors import RunFailed
from mediswarm.training.shared_weights import difference, digest_of, shared_names

NAMES = ["body.0.weight", "body.norm1.weight", "body.norm1.running_mean", "head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([], NAMES),
        (["head.*"], NAMES[:3]),
        (["*.norm*"], [NAMES[0], *NAMES[3:]]),
        (["*.running_*", "*.bias"], [NAMES[0], NAMES[1], NAMES[3]]),
        (["head"], NAMES),
        (["HEAD.*"], NAMES),
        (["*"], []),
    ],
)
def test_shell_patterns_keep_parameters_local(exclude: list[str], left: list[str]) -> None:
    assert shared_names(NAMES, exclude) == left


def test_an_update_is_trained_minus_received() -> None:
    received = {"w": torch.tensor([1.0, 2.0]), "batches": torch.tensor(7)}
    trained = {"w": torch.tensor([1.5, 1.0]), "batches": torch.tensor(9), "local": torch.tensor(1.0)}
    update = difference(trained, received)
    assert update["w"].tolist() == [0.5, -1.0]
    assert update["batches"].item() == 2
    assert update["batches"].dtype == torch.int64
    assert update.keys() == received.keys()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_no_number_is_refused_by_name(value: float) -> None:
    with pytest.raises(RunFailed, match=r"body\.0\.weight") as caught:
        difference({"body.0.weight": torch.tensor([0.0, value])}, {"body.0.weight": torch.zeros(2)})
    assert caught.value.code == "MS-R004"
    assert "gradient_clip" in caught.value.repair


def test_the_digest_is_of_names_types_shapes_and_bytes() -> None:
    base = {"a": torch.arange(4.0), "b": torch.tensor(1), "empty": torch.zeros(0, 2)}
    same = dict(reversed([(name, value.clone()) for name, value in base.items()]))
    assert digest_of(same) == digest_of(base)
    others = [
        base | {"a": torch.tensor([0.0, 1.0, 2.0, 3.0000002])},
        base | {"a": torch.arange(4.0).reshape(2, 2)},
        base | {"a": torch.arange(4.0).to(torch.bfloat16)},
        base | {"b": torch.tensor(2)},
        {"c": base["a"], "b": base["b"], "empty": base["empty"]},
    ]
    assert len({digest_of(weights) for weights in [base, *others]}) == 6
    # a view with strides has the bytes of what it shows
    assert digest_of({"a": torch.arange(6.0).reshape(2, 3).T}) == digest_of(
        {"a": torch.arange(6.0).reshape(2, 3).T.contiguous()}
    )
