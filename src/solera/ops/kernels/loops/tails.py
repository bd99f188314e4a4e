"""How most merges end, all models in one loop, and variances. Made by `unroll.py`; do not edit.

A tile of task vectors becomes the result, over the tile that held the base. For 1 to 8 models.
"""

# ruff: noqa: E501, D103, ANN001, ANN201, PLR0915, F841
# fmt: off
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import toward, wide

OPTIONS = {"nogil": True, "error_model": "numpy"}
NONE = np.float32(0)


@njit(**OPTIONS)
def add_tail_1(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0 = weights[0]
    x0 = T[0, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_1(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0 = weights[0]
    s0 = shares[0]
    x0 = T[0, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            vote = t0
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            v = t0 if a0 else NONE
            d = s0 if a0 else NONE
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            vote = t0
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            v = t0 if a0 else NONE
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_1(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0 = weights[0]
    s0 = shares[0]
    x0 = T[0, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        v = a0
        d = (s0 if a0 != 0 else NONE * s0)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_1(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        out[i] = total / np.float32(1)


@njit(**OPTIONS)
def add_tail_2(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1 = weights[0], weights[1]
    x0 = T[0, :m]
    x1 = T[1, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_2(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1 = weights[0], weights[1]
    s0, s1 = shares[0], shares[1]
    x0 = T[0, :m]
    x1 = T[1, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            vote = t0 + t1
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            d = s0 if a0 else NONE
            d = d + s1 if a1 else d
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            vote = t0 + t1
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_2(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1 = weights[0], weights[1]
    s0, s1 = shares[0], shares[1]
    x0 = T[0, :m]
    x1 = T[1, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i] + x1[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        a1 = (x1[i] if (toward(x1[i], vote) > 0) & some else NONE) * w1
        v = a0 + a1
        d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_2(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    x1 = T[1, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        offset = x1[i] - mean
        mean = mean + offset / np.float32(2)
        total = total + offset * (x1[i] - mean)
        out[i] = total / np.float32(2)


@njit(**OPTIONS)
def add_tail_3(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2 = weights[0], weights[1], weights[2]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_3(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2 = weights[0], weights[1], weights[2]
    s0, s1, s2 = shares[0], shares[1], shares[2]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            vote = t0 + t1 + t2
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            d = s0 if a0 else NONE
            d = d + s1 if a1 else d
            d = d + s2 if a2 else d
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            vote = t0 + t1 + t2
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_3(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2 = weights[0], weights[1], weights[2]
    s0, s1, s2 = shares[0], shares[1], shares[2]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i] + x1[i] + x2[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        a1 = (x1[i] if (toward(x1[i], vote) > 0) & some else NONE) * w1
        a2 = (x2[i] if (toward(x2[i], vote) > 0) & some else NONE) * w2
        v = a0 + a1 + a2
        d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_3(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    x1 = T[1, :n]
    x2 = T[2, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        offset = x1[i] - mean
        mean = mean + offset / np.float32(2)
        total = total + offset * (x1[i] - mean)
        offset = x2[i] - mean
        mean = mean + offset / np.float32(3)
        total = total + offset * (x2[i] - mean)
        out[i] = total / np.float32(3)


@njit(**OPTIONS)
def add_tail_4(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_4(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    s0, s1, s2, s3 = shares[0], shares[1], shares[2], shares[3]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            vote = t0 + t1 + t2 + t3
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            d = s0 if a0 else NONE
            d = d + s1 if a1 else d
            d = d + s2 if a2 else d
            d = d + s3 if a3 else d
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            vote = t0 + t1 + t2 + t3
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_4(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    s0, s1, s2, s3 = shares[0], shares[1], shares[2], shares[3]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i] + x1[i] + x2[i] + x3[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        a1 = (x1[i] if (toward(x1[i], vote) > 0) & some else NONE) * w1
        a2 = (x2[i] if (toward(x2[i], vote) > 0) & some else NONE) * w2
        a3 = (x3[i] if (toward(x3[i], vote) > 0) & some else NONE) * w3
        v = a0 + a1 + a2 + a3
        d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_4(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    x1 = T[1, :n]
    x2 = T[2, :n]
    x3 = T[3, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        offset = x1[i] - mean
        mean = mean + offset / np.float32(2)
        total = total + offset * (x1[i] - mean)
        offset = x2[i] - mean
        mean = mean + offset / np.float32(3)
        total = total + offset * (x2[i] - mean)
        offset = x3[i] - mean
        mean = mean + offset / np.float32(4)
        total = total + offset * (x3[i] - mean)
        out[i] = total / np.float32(4)


@njit(**OPTIONS)
def add_tail_5(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_5(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    s0, s1, s2, s3, s4 = shares[0], shares[1], shares[2], shares[3], shares[4]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            vote = t0 + t1 + t2 + t3 + t4
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            d = s0 if a0 else NONE
            d = d + s1 if a1 else d
            d = d + s2 if a2 else d
            d = d + s3 if a3 else d
            d = d + s4 if a4 else d
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            vote = t0 + t1 + t2 + t3 + t4
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_5(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    s0, s1, s2, s3, s4 = shares[0], shares[1], shares[2], shares[3], shares[4]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i] + x1[i] + x2[i] + x3[i] + x4[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        a1 = (x1[i] if (toward(x1[i], vote) > 0) & some else NONE) * w1
        a2 = (x2[i] if (toward(x2[i], vote) > 0) & some else NONE) * w2
        a3 = (x3[i] if (toward(x3[i], vote) > 0) & some else NONE) * w3
        a4 = (x4[i] if (toward(x4[i], vote) > 0) & some else NONE) * w4
        v = a0 + a1 + a2 + a3 + a4
        d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_5(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    x1 = T[1, :n]
    x2 = T[2, :n]
    x3 = T[3, :n]
    x4 = T[4, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        offset = x1[i] - mean
        mean = mean + offset / np.float32(2)
        total = total + offset * (x1[i] - mean)
        offset = x2[i] - mean
        mean = mean + offset / np.float32(3)
        total = total + offset * (x2[i] - mean)
        offset = x3[i] - mean
        mean = mean + offset / np.float32(4)
        total = total + offset * (x3[i] - mean)
        offset = x4[i] - mean
        mean = mean + offset / np.float32(5)
        total = total + offset * (x4[i] - mean)
        out[i] = total / np.float32(5)


@njit(**OPTIONS)
def add_tail_6(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4 + x5[i] * w5
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4 + x5[i] * w5
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_6(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    s0, s1, s2, s3, s4, s5 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            t5 = x5[i] * w5
            vote = t0 + t1 + t2 + t3 + t4 + t5
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            a5 = (toward(t5, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            v = v + t5 if a5 else v
            d = s0 if a0 else NONE
            d = d + s1 if a1 else d
            d = d + s2 if a2 else d
            d = d + s3 if a3 else d
            d = d + s4 if a4 else d
            d = d + s5 if a5 else d
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            t5 = x5[i] * w5
            vote = t0 + t1 + t2 + t3 + t4 + t5
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            a5 = (toward(t5, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            v = v + t5 if a5 else v
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_6(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    s0, s1, s2, s3, s4, s5 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i] + x1[i] + x2[i] + x3[i] + x4[i] + x5[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        a1 = (x1[i] if (toward(x1[i], vote) > 0) & some else NONE) * w1
        a2 = (x2[i] if (toward(x2[i], vote) > 0) & some else NONE) * w2
        a3 = (x3[i] if (toward(x3[i], vote) > 0) & some else NONE) * w3
        a4 = (x4[i] if (toward(x4[i], vote) > 0) & some else NONE) * w4
        a5 = (x5[i] if (toward(x5[i], vote) > 0) & some else NONE) * w5
        v = a0 + a1 + a2 + a3 + a4 + a5
        d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4) + (s5 if a5 != 0 else NONE * s5)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_6(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    x1 = T[1, :n]
    x2 = T[2, :n]
    x3 = T[3, :n]
    x4 = T[4, :n]
    x5 = T[5, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        offset = x1[i] - mean
        mean = mean + offset / np.float32(2)
        total = total + offset * (x1[i] - mean)
        offset = x2[i] - mean
        mean = mean + offset / np.float32(3)
        total = total + offset * (x2[i] - mean)
        offset = x3[i] - mean
        mean = mean + offset / np.float32(4)
        total = total + offset * (x3[i] - mean)
        offset = x4[i] - mean
        mean = mean + offset / np.float32(5)
        total = total + offset * (x4[i] - mean)
        offset = x5[i] - mean
        mean = mean + offset / np.float32(6)
        total = total + offset * (x5[i] - mean)
        out[i] = total / np.float32(6)


@njit(**OPTIONS)
def add_tail_7(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5, w6 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    x6 = T[6, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4 + x5[i] * w5 + x6[i] * w6
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4 + x5[i] * w5 + x6[i] * w6
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_7(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5, w6 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6]
    s0, s1, s2, s3, s4, s5, s6 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    x6 = T[6, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            t5 = x5[i] * w5
            t6 = x6[i] * w6
            vote = t0 + t1 + t2 + t3 + t4 + t5 + t6
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            a5 = (toward(t5, vote) > 0) & some
            a6 = (toward(t6, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            v = v + t5 if a5 else v
            v = v + t6 if a6 else v
            d = s0 if a0 else NONE
            d = d + s1 if a1 else d
            d = d + s2 if a2 else d
            d = d + s3 if a3 else d
            d = d + s4 if a4 else d
            d = d + s5 if a5 else d
            d = d + s6 if a6 else d
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            t5 = x5[i] * w5
            t6 = x6[i] * w6
            vote = t0 + t1 + t2 + t3 + t4 + t5 + t6
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            a5 = (toward(t5, vote) > 0) & some
            a6 = (toward(t6, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            v = v + t5 if a5 else v
            v = v + t6 if a6 else v
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_7(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5, w6 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6]
    s0, s1, s2, s3, s4, s5, s6 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    x6 = T[6, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i] + x1[i] + x2[i] + x3[i] + x4[i] + x5[i] + x6[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        a1 = (x1[i] if (toward(x1[i], vote) > 0) & some else NONE) * w1
        a2 = (x2[i] if (toward(x2[i], vote) > 0) & some else NONE) * w2
        a3 = (x3[i] if (toward(x3[i], vote) > 0) & some else NONE) * w3
        a4 = (x4[i] if (toward(x4[i], vote) > 0) & some else NONE) * w4
        a5 = (x5[i] if (toward(x5[i], vote) > 0) & some else NONE) * w5
        a6 = (x6[i] if (toward(x6[i], vote) > 0) & some else NONE) * w6
        v = a0 + a1 + a2 + a3 + a4 + a5 + a6
        d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4) + (s5 if a5 != 0 else NONE * s5) + (s6 if a6 != 0 else NONE * s6)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_7(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    x1 = T[1, :n]
    x2 = T[2, :n]
    x3 = T[3, :n]
    x4 = T[4, :n]
    x5 = T[5, :n]
    x6 = T[6, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        offset = x1[i] - mean
        mean = mean + offset / np.float32(2)
        total = total + offset * (x1[i] - mean)
        offset = x2[i] - mean
        mean = mean + offset / np.float32(3)
        total = total + offset * (x2[i] - mean)
        offset = x3[i] - mean
        mean = mean + offset / np.float32(4)
        total = total + offset * (x3[i] - mean)
        offset = x4[i] - mean
        mean = mean + offset / np.float32(5)
        total = total + offset * (x4[i] - mean)
        offset = x5[i] - mean
        mean = mean + offset / np.float32(6)
        total = total + offset * (x5[i] - mean)
        offset = x6[i] - mean
        mean = mean + offset / np.float32(7)
        total = total + offset * (x6[i] - mean)
        out[i] = total / np.float32(7)


@njit(**OPTIONS)
def add_tail_8(T, row, weights, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5, w6, w7 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    x6 = T[6, :m]
    x7 = T[7, :m]
    if divisor == 1:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4 + x5[i] * w5 + x6[i] * w6 + x7[i] * w7
            row[i] = base + v * factor
    else:
        for i in range(m):
            base = row[i]
            v = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4 + x5[i] * w5 + x6[i] * w6 + x7[i] * w7
            row[i] = base + v / divisor * factor


@njit(**OPTIONS)
def elect_tail_8(T, row, weights, shares, even, divide, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5, w6, w7 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7]
    s0, s1, s2, s3, s4, s5, s6, s7 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6], shares[7]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    x6 = T[6, :m]
    x7 = T[7, :m]
    if divide:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            t5 = x5[i] * w5
            t6 = x6[i] * w6
            t7 = x7[i] * w7
            vote = t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            a5 = (toward(t5, vote) > 0) & some
            a6 = (toward(t6, vote) > 0) & some
            a7 = (toward(t7, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            v = v + t5 if a5 else v
            v = v + t6 if a6 else v
            v = v + t7 if a7 else v
            d = s0 if a0 else NONE
            d = d + s1 if a1 else d
            d = d + s2 if a2 else d
            d = d + s3 if a3 else d
            d = d + s4 if a4 else d
            d = d + s5 if a5 else d
            d = d + s6 if a6 else d
            d = d + s7 if a7 else d
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
    else:
        for i in range(m):
            base = row[i]
            t0 = x0[i] * w0
            t1 = x1[i] * w1
            t2 = x2[i] * w2
            t3 = x3[i] * w3
            t4 = x4[i] * w4
            t5 = x5[i] * w5
            t6 = x6[i] * w6
            t7 = x7[i] * w7
            vote = t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (toward(t0, vote) > 0) & some
            a1 = (toward(t1, vote) > 0) & some
            a2 = (toward(t2, vote) > 0) & some
            a3 = (toward(t3, vote) > 0) & some
            a4 = (toward(t4, vote) > 0) & some
            a5 = (toward(t5, vote) > 0) & some
            a6 = (toward(t6, vote) > 0) & some
            a7 = (toward(t7, vote) > 0) & some
            v = t0 if a0 else NONE
            v = v + t1 if a1 else v
            v = v + t2 if a2 else v
            v = v + t3 if a3 else v
            v = v + t4 if a4 else v
            v = v + t5 if a5 else v
            v = v + t6 if a6 else v
            v = v + t7 if a7 else v
            row[i] = base + v * factor


@njit(**OPTIONS)
def weigh_tail_8(T, row, weights, shares, even, scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
    w0, w1, w2, w3, w4, w5, w6, w7 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7]
    s0, s1, s2, s3, s4, s5, s6, s7 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6], shares[7]
    x0 = T[0, :m]
    x1 = T[1, :m]
    x2 = T[2, :m]
    x3 = T[3, :m]
    x4 = T[4, :m]
    x5 = T[5, :m]
    x6 = T[6, :m]
    x7 = T[7, :m]
    for i in range(m):
        base = row[i]
        vote = x0[i] + x1[i] + x2[i] + x3[i] + x4[i] + x5[i] + x6[i] + x7[i]
        vote = even if vote == 0 else vote
        some = (vote > 0) | (vote < 0)
        a0 = (x0[i] if (toward(x0[i], vote) > 0) & some else NONE) * w0
        a1 = (x1[i] if (toward(x1[i], vote) > 0) & some else NONE) * w1
        a2 = (x2[i] if (toward(x2[i], vote) > 0) & some else NONE) * w2
        a3 = (x3[i] if (toward(x3[i], vote) > 0) & some else NONE) * w3
        a4 = (x4[i] if (toward(x4[i], vote) > 0) & some else NONE) * w4
        a5 = (x5[i] if (toward(x5[i], vote) > 0) & some else NONE) * w5
        a6 = (x6[i] if (toward(x6[i], vote) > 0) & some else NONE) * w6
        a7 = (x7[i] if (toward(x7[i], vote) > 0) & some else NONE) * w7
        v = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7
        d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4) + (s5 if a5 != 0 else NONE * s5) + (s6 if a6 != 0 else NONE * s6) + (s7 if a7 != 0 else NONE * s7)
        row[i] = base + v / (instead if abs(d) <= small else d) * factor


@njit(**OPTIONS)
def variance_8(T, out):
    wide()
    n = out.shape[0]
    x0 = T[0, :n]
    x1 = T[1, :n]
    x2 = T[2, :n]
    x3 = T[3, :n]
    x4 = T[4, :n]
    x5 = T[5, :n]
    x6 = T[6, :n]
    x7 = T[7, :n]
    for i in range(n):
        mean, total = x0[i], NONE
        offset = x1[i] - mean
        mean = mean + offset / np.float32(2)
        total = total + offset * (x1[i] - mean)
        offset = x2[i] - mean
        mean = mean + offset / np.float32(3)
        total = total + offset * (x2[i] - mean)
        offset = x3[i] - mean
        mean = mean + offset / np.float32(4)
        total = total + offset * (x3[i] - mean)
        offset = x4[i] - mean
        mean = mean + offset / np.float32(5)
        total = total + offset * (x4[i] - mean)
        offset = x5[i] - mean
        mean = mean + offset / np.float32(6)
        total = total + offset * (x5[i] - mean)
        offset = x6[i] - mean
        mean = mean + offset / np.float32(7)
        total = total + offset * (x6[i] - mean)
        offset = x7[i] - mean
        mean = mean + offset / np.float32(8)
        total = total + offset * (x7[i] - mean)
        out[i] = total / np.float32(8)


@njit(**OPTIONS)
def add_tail(T, row, weights, scalars):
    models = T.shape[0]
    if models == 1:
        add_tail_1(T, row, weights, scalars)
    elif models == 2:
        add_tail_2(T, row, weights, scalars)
    elif models == 3:
        add_tail_3(T, row, weights, scalars)
    elif models == 4:
        add_tail_4(T, row, weights, scalars)
    elif models == 5:
        add_tail_5(T, row, weights, scalars)
    elif models == 6:
        add_tail_6(T, row, weights, scalars)
    elif models == 7:
        add_tail_7(T, row, weights, scalars)
    else:
        add_tail_8(T, row, weights, scalars)


@njit(**OPTIONS)
def elect_tail(T, row, weights, shares, even, divide, scalars):
    models = T.shape[0]
    if models == 1:
        elect_tail_1(T, row, weights, shares, even, divide, scalars)
    elif models == 2:
        elect_tail_2(T, row, weights, shares, even, divide, scalars)
    elif models == 3:
        elect_tail_3(T, row, weights, shares, even, divide, scalars)
    elif models == 4:
        elect_tail_4(T, row, weights, shares, even, divide, scalars)
    elif models == 5:
        elect_tail_5(T, row, weights, shares, even, divide, scalars)
    elif models == 6:
        elect_tail_6(T, row, weights, shares, even, divide, scalars)
    elif models == 7:
        elect_tail_7(T, row, weights, shares, even, divide, scalars)
    else:
        elect_tail_8(T, row, weights, shares, even, divide, scalars)


@njit(**OPTIONS)
def weigh_tail(T, row, weights, shares, even, scalars):
    models = T.shape[0]
    if models == 1:
        weigh_tail_1(T, row, weights, shares, even, scalars)
    elif models == 2:
        weigh_tail_2(T, row, weights, shares, even, scalars)
    elif models == 3:
        weigh_tail_3(T, row, weights, shares, even, scalars)
    elif models == 4:
        weigh_tail_4(T, row, weights, shares, even, scalars)
    elif models == 5:
        weigh_tail_5(T, row, weights, shares, even, scalars)
    elif models == 6:
        weigh_tail_6(T, row, weights, shares, even, scalars)
    elif models == 7:
        weigh_tail_7(T, row, weights, shares, even, scalars)
    else:
        weigh_tail_8(T, row, weights, shares, even, scalars)


@njit(**OPTIONS)
def variance(T, out):
    models = T.shape[0]
    if models == 1:
        variance_1(T, out)
    elif models == 2:
        variance_2(T, out)
    elif models == 3:
        variance_3(T, out)
    elif models == 4:
        variance_4(T, out)
    elif models == 5:
        variance_5(T, out)
    elif models == 6:
        variance_6(T, out)
    elif models == 7:
        variance_7(T, out)
    else:
        variance_8(T, out)
