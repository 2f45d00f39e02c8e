"""In which precision weights and updates travel; both ends compute in float32.

Halves are a third option between full precision and quantisation: they halve
the bytes and need no state. float16 has few exponents, and differences after a
round are small: every tensor is scaled by a power of two to just below its
greatest value, as in mixed precision training (Micikevicius et al., 2018).
bfloat16 has float32's range and travels as it is.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from mediswarm.pipelines.learner import Weights
from mediswarm.training.tensor_views import Shape, Tensors, TensorView, shape_of

Precision = Literal["float32", "float16", "bfloat16"]
SCALES = "mediswarm.scales"
"""Name of the tensor that holds the exponents of all scaled tensors, in the order of their names."""

_TARGET_EXPONENT = 14  # 2**15 is the greatest power of two that float16 holds
_LEAST_EXPONENT = -126  # the factor to scale by has to be a float32 itself


def narrow(weights: Weights, precision: Precision) -> Weights:
    """What travels instead of `weights`; only float32 tensors change."""
    if precision == "float32":
        return weights
    if precision == "bfloat16":
        return {name: value.bfloat16() if _wide(value) else value for name, value in weights.items()}
    exponents = {
        name: _exponent(weights[name]) if _wide(weights[name]) else 0
        for name in sorted(weights)
        if weights[name].dtype in (torch.float32, torch.float16)
    }
    # torch.ldexp takes four times as long for the same numbers
    narrowed = {
        name: (value * 2.0 ** -exponents[name]).half() if _wide(value) else value
        for name, value in weights.items()
    }
    return narrowed | {SCALES: torch.tensor(list(exponents.values()), dtype=torch.int32)}


def widen(received: Tensors) -> Weights:
    """The float32 tensors of what :func:`narrow` gave."""
    return dict(widened(received))


def widened(received: Tensors) -> Tensors:
    """As :func:`widen`, made one at a time as they are read."""
    names = [name for name in received if name != SCALES]

    def shape(name: str) -> Shape:
        return shape_of(received, name)

    if SCALES not in received:
        return TensorView(names, lambda name: _float32(received[name], 0), shape)
    # the exponents stand in the order of the names of the scaled tensors
    scaled = [name for name in sorted(names) if received[name].dtype == torch.float16]
    exponents = dict(zip(scaled, received[SCALES].tolist(), strict=True))
    return TensorView(names, lambda name: _float32(received[name], exponents.get(name, 0)), shape)


def _float32(value: torch.Tensor, exponent: int) -> torch.Tensor:
    if value.dtype not in (torch.float16, torch.bfloat16):
        return value
    return value.float().mul_(2.0**exponent) if exponent else value.float()


def bytes_of(weights: Tensors | None) -> int:
    """Bytes of the tensors as they travel, without framing and encryption."""
    return sum(value.numel() * value.element_size() for value in (weights or {}).values())


def _wide(value: torch.Tensor) -> bool:
    return value.dtype == torch.float32


def _exponent(value: torch.Tensor) -> int:
    if not value.numel():
        return 0
    least, most = torch.aminmax(value)
    greatest = max(-float(least), float(most))
    if not greatest or not math.isfinite(greatest):
        return 0
    return max(math.frexp(greatest)[1] - _TARGET_EXPONENT, _LEAST_EXPONENT)
