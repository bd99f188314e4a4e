"""How much a change matters: its size times the divergence of the row's softmax. Exponential and logarithm are exact.

They are made of additions, multiplications and divisions in a fixed order, as in `ops.elementary`, so that the steps,
these loops and numpy give the same bits.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.halving import above, tree_beside
from solera.ops.kernels.loops.memory import allocate, release
from solera.ops.kernels.loops.numbers import OPTIONS, bits_of, double_of, float_of, long_of, pointer_d, wide
from solera.ops.series import EXP_TERMS as E
from solera.ops.series import LEAST_POWER, LN2_HIGH, LN2_LOW, LOG2_E, ROOT_HALF
from solera.ops.series import LOG_TERMS as L

SMOOTHING = 1e-8
"""Added to every probability."""


@njit(**OPTIONS)
def series(r):
    """The exponential near 0."""
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
    return p * r + E[0]


@njit(**OPTIONS)
def exponential(x):
    """As `ops.elementary.exponential`."""
    bounded = max(LEAST_POWER, x)
    whole = np.floor(bounded * LOG2_E + 0.5)
    r = (bounded - whole * LN2_HIGH) - whole * LN2_LOW
    power = series(r) * double_of((np.int64(whole) + np.int64(1023)) << np.int64(52))
    return power if x >= LEAST_POWER else 0.0


@njit(**OPTIONS)
def is_near(x):
    """Whether the exponential of x, and of all between it and 0, is that of the series alone: the power of two is 1."""
    return x * LOG2_E + 0.5 >= 0


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
def ordered(bits):
    """Bits of a float32 as a whole number that stands in the order of floats, and back."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@njit(**OPTIONS)
def extremes(values):
    """The least and the largest of a row. Whole numbers can be compared in any order: LLVM does many at once."""
    least, most = np.int32(2**31 - 1), np.int32(-(2**31))
    for i in range(values.shape[0]):
        place = ordered(bits_of(values[i]))
        least, most = min(least, place), max(most, place)
    return np.float64(float_of(ordered(least))), np.float64(float_of(ordered(most)))


@njit(**OPTIONS)
def powers(values, out, one, two):
    """Exponentials of a row minus its largest, and zeros after them; returns their sum."""
    wide()
    n, (least, top) = values.shape[0], extremes(values)
    if is_near(least - top):
        for i in range(n):
            out[i] = series(np.float64(values[i]) - top)
    else:
        for i in range(n):
            out[i] = exponential(np.float64(values[i]) - top)
    out[n:] = 0.0
    return tree_beside(out, one, two)


@njit(**OPTIONS)
def divergence(x, base, p, q, one, two):
    """Kullback-Leibler divergence of a row's softmax, with something added to every probability, from the base's."""
    wide()
    whole_p, whole_q = powers(x, p, one, two), powers(base, q, one, two)
    for i in range(x.shape[0]):
        here, there = p[i] / whole_p + SMOOTHING, q[i] / whole_q + SMOOTHING
        p[i] = here * logarithm(here / there)
    return max(tree_beside(p, one, two), 0.0)


@njit(**OPTIONS)
def diverge(T, n, row, known):
    """The divergence of every row that is not `known` yet (negative); T holds the base, then x."""
    size = max(8, above(row))
    own, less = allocate(8 * (2 * size + 2 * (size // 8))), size // 8
    p, q = carray(pointer_d(own), (size,)), carray(pointer_d(own + 8 * size), (size,))
    one, two = carray(pointer_d(own + 16 * size), (less,)), carray(pointer_d(own + 16 * size + 8 * less), (less,))
    for r in range(n // row):
        if known[r] < 0:
            begin = r * row
            known[r] = divergence(T[1, begin : begin + row], T[0, begin : begin + row], p, q, one, two)
    release(own)


@njit(**OPTIONS)
def importance(T, n, row, known, out):
    """|x - base| times the divergence of its row; T holds the base, then x."""
    wide()
    diverge(T, n, row, known)
    for r in range(n // row):
        begin, far = r * row, known[r]
        base, x, size = T[0, begin : begin + row], T[1, begin : begin + row], out[begin : begin + row]
        for i in range(row):
            size[i] = np.float32(np.float64(abs(x[i] - base[i])) * far)
