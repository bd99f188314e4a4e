"""How much a change matters: its size times the divergence of the row's softmax. Exponential and logarithm are exact.

They are made of additions, multiplications and divisions in a fixed order, as in `ops.elementary`, so that the steps,
these loops and numpy give the same bits.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.halving import above, tree
from solera.ops.kernels.loops.memory import allocate, release
from solera.ops.kernels.loops.numbers import OPTIONS, double_of, long_of, pointer_d
from solera.ops.series import EXP_TERMS as E
from solera.ops.series import LEAST_POWER, LN2_HIGH, LN2_LOW, LOG2_E, ROOT_HALF
from solera.ops.series import LOG_TERMS as L

SMOOTHING = 1e-8
"""Added to every probability."""


@njit(**OPTIONS)
def exponential(x):
    """As `ops.elementary.exponential`."""
    bounded = max(LEAST_POWER, x)
    whole = np.floor(bounded * LOG2_E + 0.5)
    r = (bounded - whole * LN2_HIGH) - whole * LN2_LOW
    p = E[13]
    p = p * r + E[12]
    p = p * r + E[11]
    p = p * r + E[10]
    p = p * r + E[9]
    p = p * r + E[8]
    p = p * r + E[7]
    p = p * r + E[6]
    p = p * r + E[5]
    p = p * r + E[4]
    p = p * r + E[3]
    p = p * r + E[2]
    p = p * r + E[1]
    p = p * r + E[0]
    power = p * double_of((np.int64(whole) + np.int64(1023)) << np.int64(52))
    return power if x >= LEAST_POWER else 0.0


@njit(**OPTIONS)
def logarithm(x):
    """As `ops.elementary.logarithm`."""
    bits = long_of(x)
    exponent = (bits - np.int64(ROOT_HALF)) >> np.int64(52)
    f = double_of(bits - (exponent << np.int64(52))) - 1.0
    s = f / (f + 2.0)
    z = s * s
    p = L[11]
    p = p * z + L[10]
    p = p * z + L[9]
    p = p * z + L[8]
    p = p * z + L[7]
    p = p * z + L[6]
    p = p * z + L[5]
    p = p * z + L[4]
    p = p * z + L[3]
    p = p * z + L[2]
    p = p * z + L[1]
    p = p * z + L[0]
    whole = np.float64(exponent)
    return whole * LN2_HIGH + ((s + s) * p + whole * LN2_LOW)


@njit(**OPTIONS)
def probabilities(values, out, terms, spare, size):
    """Softmax of a row with something added to every probability."""
    n = values.shape[0]
    most = values[0]
    for i in range(n):
        most = max(most, values[i])
    top = np.float64(most)
    for i in range(n):
        out[i] = exponential(np.float64(values[i]) - top)
        terms[i] = out[i]
    terms[n:size] = 0.0
    whole = tree(terms, spare, size)
    for i in range(n):
        out[i] = out[i] / whole + SMOOTHING


@njit(**OPTIONS)
def divergence(x, base, p, q, terms, spare, size):
    """Kullback-Leibler divergence of a row's softmax from the base's."""
    n = x.shape[0]
    probabilities(x, p, terms, spare, size)
    probabilities(base, q, terms, spare, size)
    for i in range(n):
        terms[i] = p[i] * logarithm(p[i] / q[i])
    terms[n:size] = 0.0
    return max(tree(terms, spare, size), 0.0)


@njit(**OPTIONS)
def importance(T, n, row, out):
    """|x - base| times the divergence of its row; T holds the base, then x."""
    size = above(row)
    own, less = allocate(8 * (2 * row + size + max(8, size // 8))), max(8, size // 8)
    p, q = carray(pointer_d(own), (row,)), carray(pointer_d(own + 8 * row), (row,))
    terms = carray(pointer_d(own + 16 * row), (size,))
    spare = carray(pointer_d(own + 16 * row + 8 * size), (less,))
    for begin in range(0, n, row):
        base, x = T[0, begin : begin + row], T[1, begin : begin + row]
        far = divergence(x, base, p, q, terms, spare, size)
        for i in range(row):
            out[begin + i] = np.float32(np.float64(abs(x[i] - base[i])) * far)
    release(own)
