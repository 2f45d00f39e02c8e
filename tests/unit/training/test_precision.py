"""Halves on the wire: half the bytes, and the digits that a half can hold, however small the numbers."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from mediswarm.training.precision import bytes_of, narrow, widen


@pytest.mark.parametrize(("precision", "digits"), [("float16", 2**-10), ("bfloat16", 2**-7)])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e30])
def test_what_arrives_is_what_was_sent_to_the_digits_of_a_half(
    precision: Literal["float16", "bfloat16"], digits: float, scale: float
) -> None:
    torch.manual_seed(0)
    sent = {"a": torch.randn(1000) * scale, "b": torch.randn(3, 4) * scale, "count": torch.tensor(7)}
    travelling = narrow(sent, precision)
    arrived = widen(travelling)
    assert list(arrived) == list(sent)
    assert arrived["count"] == 7
    for name in ("a", "b"):
        assert arrived[name].dtype == torch.float32
        assert float((arrived[name] - sent[name]).abs().max()) <= digits * float(sent[name].abs().max())
    assert bytes_of(travelling) <= bytes_of(sent) / 2 + 16
    again = widen(narrow(arrived, precision))
    assert all(torch.equal(again[name], arrived[name]) for name in arrived)


def test_full_precision_is_not_touched() -> None:
    sent = {"a": torch.randn(5)}
    assert narrow(sent, "float32") is sent
    assert torch.equal(widen(sent)["a"], sent["a"])


def test_zeros_and_empty_tensors_travel() -> None:
    sent = {"zeros": torch.zeros(3), "none": torch.zeros(0)}
    arrived = widen(narrow(sent, "float16"))
    assert torch.equal(arrived["zeros"], sent["zeros"])
    assert arrived["none"].shape == (0,)


def test_the_smallest_numbers_are_not_lost_to_the_scale() -> None:
    """The factor that would lift them to the top of float16 is no float32."""
    sent = {"a": torch.tensor([0.0, 1e-40, -1e-44])}
    arrived = widen(narrow(sent, "float16"))
    assert torch.isfinite(arrived["a"]).all()
    assert float(arrived["a"][1]) == pytest.approx(1e-40, rel=0.01)
