"""Exponential and logarithm in float64 that give the same bits on every machine.

Library functions round differently from one build to the next. These are plain arithmetic in a fixed order, within two
units in the last place of the true value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solera.ops.series import EXP_TERMS, LEAST_POWER, LN2_HIGH, LN2_LOW, LOG2_E, LOG_TERMS, ROOT_HALF


def exponential(x: Tensor) -> Tensor:
    """The exponential of float64 x up to 0; 0 below -708.

    Example:
        >>> exponential(torch.tensor([0.0, -1.0, -1000.0], dtype=torch.float64)).tolist()
        [1.0, 0.36787944117144233, 0.0]
    """
    bounded = x.clamp(min=LEAST_POWER)
    whole = torch.floor(bounded * LOG2_E + 0.5)
    rest = (bounded - whole * LN2_HIGH) - whole * LN2_LOW
    power_of_two = ((whole.to(torch.int64) + 1023) << 52).view(torch.float64)
    return torch.where(x < LEAST_POWER, 0.0, _series(rest, EXP_TERMS) * power_of_two)


def logarithm(x: Tensor) -> Tensor:
    """The natural logarithm of float64 x, which must be positive and not subnormal.

    Example:
        >>> logarithm(torch.tensor([1.0, 10.0, 1e-8], dtype=torch.float64)).tolist()
        [0.0, 2.302585092994046, -18.420680743952367]
    """
    bits = x.contiguous().view(torch.int64)
    exponent = (bits - ROOT_HALF) >> 52
    above_one = (bits - (exponent << 52)).view(torch.float64) - 1.0
    s = above_one / (above_one + 2.0)
    whole = exponent.to(torch.float64)
    return whole * LN2_HIGH + ((s + s) * _series(s * s, LOG_TERMS) + whole * LN2_LOW)


def _series(x: Tensor, terms: Sequence[float]) -> Tensor:
    """The power series, from the highest term down."""
    result = torch.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        result = result * x + term
    return result
