"""What looks at whole rows, in numpy: the same bits as `loops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels.tree import tree_sum
from solera.ops.series import EXP_TERMS, LEAST_POWER, LN2_HIGH, LN2_LOW, LOG2_E, LOG_TERMS, ROOT_HALF

Values = NDArray[Any]

SMOOTHING = 1e-8
"""Added to every probability."""


def keep_row_band(values: Values, wide: Values, row: int) -> Values:
    """Zero what is not between the magnitudes of two ranks of its row; see `loops.ranks`."""
    kept = [
        _band(part.reshape(-1, row), int(low), int(high)) for part, low, high in zip(values, *wide[:2], strict=True)
    ]
    return np.stack(kept).reshape(values.shape)


def _band(rows: Values, bottom: int, top: int) -> Values:
    if bottom > top:
        return np.zeros_like(rows)
    sizes = np.abs(rows)
    ordered = np.sort(sizes, -1)
    inside = (sizes >= ordered[:, bottom, None]) & (sizes <= ordered[:, top, None])
    return np.where(inside, rows, np.float32(0))


def drop_by_rank(values: Values, wide: Values, drawn: Values, row: int) -> Values:
    """Zero what is not drawn by its rank; see `loops.ranks`."""
    coarse = (np.abs(values).view(np.int32) >> 16).reshape(len(values), -1, row)
    ranks = coarse.argsort(-1, kind="stable").argsort(-1, kind="stable")
    slope, offset, inverse = wide[..., None]
    share = ranks.reshape(values.shape).astype(np.float64) * slope + offset
    keep = drawn.astype(np.int64) < (share * 2.0**53).astype(np.int64)
    kept = np.where(keep, values, np.float32(0))
    divided: Values = (kept / np.where(keep & (inverse > 0), share, 1.0)).astype(np.float32)
    return divided


def importance(base: Values, x: Values, known: Values) -> Values:
    """|x - base| times the divergence of its row; see `loops.divergence`."""
    x, base = x.reshape(known.size, -1), base.reshape(known.size, -1)
    with np.errstate(all="ignore"):
        if (new := known < 0).any():
            known[new] = _divergence(x[new], base[new])
        size: Values = (np.abs(x - base) * known[:, None]).astype(np.float32).reshape(-1)
    return size


def _divergence(rows: Values, base: Values) -> Values:
    p, q = _probabilities(rows), _probabilities(base)
    far: Values = np.maximum(tree_sum(p * logarithm(p / q)), 0.0)
    return far


def _probabilities(rows: Values) -> Values:
    wide = rows.astype(np.float64)
    powers = exponential(wide - wide.max(-1, keepdims=True))
    found: Values = powers / tree_sum(powers)[:, None] + SMOOTHING
    return found


def exponential(x: Values) -> Values:
    """As `ops.elementary.exponential`."""
    bounded = np.maximum(x, LEAST_POWER)
    whole = np.floor(bounded * LOG2_E + 0.5)
    rest = (bounded - whole * LN2_HIGH) - whole * LN2_LOW
    power_of_two = ((whole.astype(np.int64) + 1023) << 52).view(np.float64)
    return np.where(x < LEAST_POWER, 0.0, _series(rest, EXP_TERMS) * power_of_two)


def logarithm(x: Values) -> Values:
    """As `ops.elementary.logarithm`."""
    bits = np.ascontiguousarray(x).view(np.int64)
    exponent = (bits - ROOT_HALF) >> 52
    above_one = (bits - (exponent << 52)).view(np.float64) - 1.0
    s = above_one / (above_one + 2.0)
    whole = exponent.astype(np.float64)
    found: Values = whole * LN2_HIGH + ((s + s) * _series(s * s, LOG_TERMS) + whole * LN2_LOW)
    return found


def _series(x: Values, terms: Sequence[float]) -> Values:
    result = np.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        result = result * x + term
    return result
