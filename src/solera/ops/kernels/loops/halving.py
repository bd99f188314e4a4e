"""Sums in float64 by halving: the tree of `ops.reduce`."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import OPTIONS, wide


@njit(**OPTIONS)
def above(length):
    """The least power of two that is not below `length`."""
    size = 1
    while size < length:
        size = 2 * size
    return size


@njit(**OPTIONS)
def fold_eight(source, q, target):
    """Three halvings at once: the second half is added to the first, three times."""
    wide()
    a, b, c, d = source[:q], source[q : 2 * q], source[2 * q : 3 * q], source[3 * q : 4 * q]
    e, f, g, h = source[4 * q : 5 * q], source[5 * q : 6 * q], source[6 * q : 7 * q], source[7 * q : 8 * q]
    for i in range(q):
        target[i] = ((a[i] + e[i]) + (c[i] + g[i])) + ((b[i] + f[i]) + (d[i] + h[i]))


@njit(**OPTIONS)
def tree(terms, spare, size):
    """Sum of `size` (a power of two) float64 terms by halving; both buffers are used up."""
    while size >= 8:
        size = size // 8
        fold_eight(terms, size, spare)
        terms, spare = spare, terms
    while size > 1:
        size = size // 2
        for i in range(size):
            terms[i] = terms[i] + terms[i + size]
    return terms[0]


@njit(**OPTIONS)
def tree_beside(terms, one, two):
    """Sum of float64 terms (a power of two, at least 8) by halving; both buffers, an eighth as long, are used up."""
    less = terms.shape[0] // 8
    fold_eight(terms, less, one)
    return tree(one, two, less)


@njit(**OPTIONS)
def tree_of(a, b, products, size, terms, spare):
    """Sum of magnitudes of a, or of products of a and b, by halving."""
    wide()
    if size < 8:
        for i in range(size):
            terms[i] = np.float64(a[i]) * np.float64(b[i]) if products else np.float64(abs(a[i]))
        return tree(terms, spare, size)
    q = size // 8
    a0, a1, a2, a3 = a[:q], a[q : 2 * q], a[2 * q : 3 * q], a[3 * q : 4 * q]
    a4, a5, a6, a7 = a[4 * q : 5 * q], a[5 * q : 6 * q], a[6 * q : 7 * q], a[7 * q : 8 * q]
    f = np.float64
    if products:
        b0, b1, b2, b3 = b[:q], b[q : 2 * q], b[2 * q : 3 * q], b[3 * q : 4 * q]
        b4, b5, b6, b7 = b[4 * q : 5 * q], b[5 * q : 6 * q], b[6 * q : 7 * q], b[7 * q : 8 * q]
        for i in range(q):
            terms[i] = ((f(a0[i]) * f(b0[i]) + f(a4[i]) * f(b4[i])) + (f(a2[i]) * f(b2[i]) + f(a6[i]) * f(b6[i]))) + (
                (f(a1[i]) * f(b1[i]) + f(a5[i]) * f(b5[i])) + (f(a3[i]) * f(b3[i]) + f(a7[i]) * f(b7[i]))
            )
    else:
        for i in range(q):
            terms[i] = ((f(abs(a0[i])) + f(abs(a4[i]))) + (f(abs(a2[i])) + f(abs(a6[i])))) + (
                (f(abs(a1[i])) + f(abs(a5[i]))) + (f(abs(a3[i])) + f(abs(a7[i])))
            )
    return tree(terms, spare, q)
