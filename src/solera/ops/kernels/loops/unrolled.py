"""The commonest merges of bfloat16, all models in one loop. Made by `unroll.py`; do not edit.

Each reads its operands once, keeps every value in a register and writes the result over the tile that held the base.
Returns 1 where something is not finite: an input, or a sum of finite inputs, which `write` tells apart.
"""

# ruff: noqa: E501, D103, ANN001, ANN201, PLR0915, C901, F841
# fmt: off
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.fetching import AHEAD, PART, fetch_all
from solera.ops.kernels.loops.memory import stacked
from solera.ops.kernels.loops.numbers import (
    OPTIONS,
    bits_of,
    highest,
    of_brain,
    pointer_2,
    pointer_f,
    toward,
    wide,
)
from solera.ops.kernels.loops.reading import narrow, widen
from solera.ops.kernels.loops.sifting import bracketed

INFINITE, INFINITE_BRAIN = np.int32(0x7F800000), np.int32(0x7F80)
NONE, ONE = np.float32(0), np.float32(1)


@njit(**OPTIONS)
def add_1(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0 = weights[0]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_1(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0 = low[0]
    h0 = high[0]
    w0 = weights[0]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                top = highest(top, bits_of(t0), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                v = t0 * w0
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                top = highest(top, bits_of(t0), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                v = t0 * w0
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_1(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0 = low[0]
    h0 = high[0]
    w0 = weights[0]
    s0 = shares[0]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                top = highest(top, bits_of(t0), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                top = highest(top, bits_of(t0), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                vote = t0
                vote = even if vote == 0 else vote
                some = (vote > 0) | (vote < 0)
                a0 = (toward(t0, vote) > 0) & some
                v = t0 if a0 else NONE
                row[i] = base + v * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_1(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0 = factors[0]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                top = highest(top, bits_of(t0), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                sharing = a0
                c0 = t0 * a0
                c0 = c0 * f0 if sharing == 1 else c0
                v = c0
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                top = highest(top, bits_of(t0), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                sharing = a0
                c0 = t0 * a0
                v = c0
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_1(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0 = weights[0]
    s0 = shares[0]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            top = highest(top, bits_of(t0), INFINITE)
            mean, total = t0, NONE
            far = total / np.float32(1) >= enough
            t0 = t0 if far else NONE
            vote = t0
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            v = a0
            d = (s0 if a0 != 0 else NONE * s0)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_1(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            row[i] = total / np.float32(1)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True


@njit(**OPTIONS)
def add_2(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1 = weights[0], weights[1]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_2(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1 = low[0], low[1]
    h0, h1 = high[0], high[1]
    w0, w1 = weights[0], weights[1]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                top = highest(top, bits_of(t0 + t1), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                v = t0 * w0 + t1 * w1
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                top = highest(top, bits_of(t0 + t1), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                v = t0 * w0 + t1 * w1
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_2(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1 = low[0], low[1]
    h0, h1 = high[0], high[1]
    w0, w1 = weights[0], weights[1]
    s0, s1 = shares[0], shares[1]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                top = highest(top, bits_of(t0 + t1), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                top = highest(top, bits_of(t0 + t1), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                vote = t0 + t1
                vote = even if vote == 0 else vote
                some = (vote > 0) | (vote < 0)
                a0 = (toward(t0, vote) > 0) & some
                a1 = (toward(t1, vote) > 0) & some
                v = t0 if a0 else NONE
                v = v + t1 if a1 else v
                row[i] = base + v * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_2(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0, f1 = factors[0], factors[1]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                top = highest(top, bits_of(t0 + t1), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                sharing = a0 + a1
                c0 = t0 * a0
                c1 = t1 * a1
                c0 = c0 * f0 if sharing == 1 else c0
                c1 = c1 * f1 if sharing == 1 else c1
                v = c0 + c1
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                top = highest(top, bits_of(t0 + t1), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                sharing = a0 + a1
                c0 = t0 * a0
                c1 = t1 * a1
                v = c0 + c1
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_2(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1 = weights[0], weights[1]
    s0, s1 = shares[0], shares[1]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            t1 = (of_brain(x1[i]) - base)
            top = highest(top, bits_of(t0 + t1), INFINITE)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            far = total / np.float32(2) >= enough
            t0 = t0 if far else NONE
            t1 = t1 if far else NONE
            vote = t0 + t1
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            a1 = (t1 if (toward(t1, vote) > 0) & some else NONE) * w1
            v = a0 + a1
            d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_2(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            t1 = of_brain(x1[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            top = highest(top, x1[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            row[i] = total / np.float32(2)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True


@njit(**OPTIONS)
def add_3(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2 = weights[0], weights[1], weights[2]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_3(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2 = low[0], low[1], low[2]
    h0, h1, h2 = high[0], high[1], high[2]
    w0, w1, w2 = weights[0], weights[1], weights[2]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_3(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2 = low[0], low[1], low[2]
    h0, h1, h2 = high[0], high[1], high[2]
    w0, w1, w2 = weights[0], weights[1], weights[2]
    s0, s1, s2 = shares[0], shares[1], shares[2]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
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
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_3(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0, f1, f2 = factors[0], factors[1], factors[2]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                sharing = a0 + a1 + a2
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c0 = c0 * f0 if sharing == 1 else c0
                c1 = c1 * f1 if sharing == 1 else c1
                c2 = c2 * f2 if sharing == 1 else c2
                v = c0 + c1 + c2
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                sharing = a0 + a1 + a2
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                v = c0 + c1 + c2
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_3(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2 = weights[0], weights[1], weights[2]
    s0, s1, s2 = shares[0], shares[1], shares[2]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            t1 = (of_brain(x1[i]) - base)
            t2 = (of_brain(x2[i]) - base)
            top = highest(top, bits_of(t0 + t1 + t2), INFINITE)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            far = total / np.float32(3) >= enough
            t0 = t0 if far else NONE
            t1 = t1 if far else NONE
            t2 = t2 if far else NONE
            vote = t0 + t1 + t2
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            a1 = (t1 if (toward(t1, vote) > 0) & some else NONE) * w1
            a2 = (t2 if (toward(t2, vote) > 0) & some else NONE) * w2
            v = a0 + a1 + a2
            d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_3(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            t1 = of_brain(x1[i]) - base
            t2 = of_brain(x2[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            top = highest(top, x1[i], INFINITE_BRAIN)
            top = highest(top, x2[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            row[i] = total / np.float32(3)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True


@njit(**OPTIONS)
def add_4(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_4(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3 = low[0], low[1], low[2], low[3]
    h0, h1, h2, h3 = high[0], high[1], high[2], high[3]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_4(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3 = low[0], low[1], low[2], low[3]
    h0, h1, h2, h3 = high[0], high[1], high[2], high[3]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    s0, s1, s2, s3 = shares[0], shares[1], shares[2], shares[3]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
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
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_4(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0, f1, f2, f3 = factors[0], factors[1], factors[2], factors[3]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                sharing = a0 + a1 + a2 + a3
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c0 = c0 * f0 if sharing == 1 else c0
                c1 = c1 * f1 if sharing == 1 else c1
                c2 = c2 * f2 if sharing == 1 else c2
                c3 = c3 * f3 if sharing == 1 else c3
                v = c0 + c1 + c2 + c3
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                sharing = a0 + a1 + a2 + a3
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                v = c0 + c1 + c2 + c3
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_4(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    s0, s1, s2, s3 = shares[0], shares[1], shares[2], shares[3]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            t1 = (of_brain(x1[i]) - base)
            t2 = (of_brain(x2[i]) - base)
            t3 = (of_brain(x3[i]) - base)
            top = highest(top, bits_of(t0 + t1 + t2 + t3), INFINITE)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            far = total / np.float32(4) >= enough
            t0 = t0 if far else NONE
            t1 = t1 if far else NONE
            t2 = t2 if far else NONE
            t3 = t3 if far else NONE
            vote = t0 + t1 + t2 + t3
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            a1 = (t1 if (toward(t1, vote) > 0) & some else NONE) * w1
            a2 = (t2 if (toward(t2, vote) > 0) & some else NONE) * w2
            a3 = (t3 if (toward(t3, vote) > 0) & some else NONE) * w3
            v = a0 + a1 + a2 + a3
            d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_4(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            t1 = of_brain(x1[i]) - base
            t2 = of_brain(x2[i]) - base
            t3 = of_brain(x3[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            top = highest(top, x1[i], INFINITE_BRAIN)
            top = highest(top, x2[i], INFINITE_BRAIN)
            top = highest(top, x3[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            row[i] = total / np.float32(4)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True


@njit(**OPTIONS)
def add_5(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_5(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4 = low[0], low[1], low[2], low[3], low[4]
    h0, h1, h2, h3, h4 = high[0], high[1], high[2], high[3], high[4]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_5(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4 = low[0], low[1], low[2], low[3], low[4]
    h0, h1, h2, h3, h4 = high[0], high[1], high[2], high[3], high[4]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    s0, s1, s2, s3, s4 = shares[0], shares[1], shares[2], shares[3], shares[4]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
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
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_5(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0, f1, f2, f3, f4 = factors[0], factors[1], factors[2], factors[3], factors[4]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                c0 = c0 * f0 if sharing == 1 else c0
                c1 = c1 * f1 if sharing == 1 else c1
                c2 = c2 * f2 if sharing == 1 else c2
                c3 = c3 * f3 if sharing == 1 else c3
                c4 = c4 * f4 if sharing == 1 else c4
                v = c0 + c1 + c2 + c3 + c4
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                v = c0 + c1 + c2 + c3 + c4
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_5(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    s0, s1, s2, s3, s4 = shares[0], shares[1], shares[2], shares[3], shares[4]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            t1 = (of_brain(x1[i]) - base)
            t2 = (of_brain(x2[i]) - base)
            t3 = (of_brain(x3[i]) - base)
            t4 = (of_brain(x4[i]) - base)
            top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4), INFINITE)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            far = total / np.float32(5) >= enough
            t0 = t0 if far else NONE
            t1 = t1 if far else NONE
            t2 = t2 if far else NONE
            t3 = t3 if far else NONE
            t4 = t4 if far else NONE
            vote = t0 + t1 + t2 + t3 + t4
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            a1 = (t1 if (toward(t1, vote) > 0) & some else NONE) * w1
            a2 = (t2 if (toward(t2, vote) > 0) & some else NONE) * w2
            a3 = (t3 if (toward(t3, vote) > 0) & some else NONE) * w3
            a4 = (t4 if (toward(t4, vote) > 0) & some else NONE) * w4
            v = a0 + a1 + a2 + a3 + a4
            d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_5(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            t1 = of_brain(x1[i]) - base
            t2 = of_brain(x2[i]) - base
            t3 = of_brain(x3[i]) - base
            t4 = of_brain(x4[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            top = highest(top, x1[i], INFINITE_BRAIN)
            top = highest(top, x2[i], INFINITE_BRAIN)
            top = highest(top, x3[i], INFINITE_BRAIN)
            top = highest(top, x4[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            row[i] = total / np.float32(5)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True


@njit(**OPTIONS)
def add_6(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                v = v + (of_brain(x5[i]) - base) * w5
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                v = v + (of_brain(x5[i]) - base) * w5
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                v = v + of_brain(x5[i]) * w5
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                v = v + of_brain(x5[i]) * w5
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_6(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4, l5 = low[0], low[1], low[2], low[3], low[4], low[5]
    h0, h1, h2, h3, h4, h5 = high[0], high[1], high[2], high[3], high[4], high[5]
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4 + t5 * w5
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4 + t5 * w5
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_6(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4, l5 = low[0], low[1], low[2], low[3], low[4], low[5]
    h0, h1, h2, h3, h4, h5 = high[0], high[1], high[2], high[3], high[4], high[5]
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    s0, s1, s2, s3, s4, s5 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 * w5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 * w5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
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
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_6(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0, f1, f2, f3, f4, f5 = factors[0], factors[1], factors[2], factors[3], factors[4], factors[5]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                a5 = ONE if abs(t5) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4 + a5
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                c5 = t5 * a5
                c0 = c0 * f0 if sharing == 1 else c0
                c1 = c1 * f1 if sharing == 1 else c1
                c2 = c2 * f2 if sharing == 1 else c2
                c3 = c3 * f3 if sharing == 1 else c3
                c4 = c4 * f4 if sharing == 1 else c4
                c5 = c5 * f5 if sharing == 1 else c5
                v = c0 + c1 + c2 + c3 + c4 + c5
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                a5 = ONE if abs(t5) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4 + a5
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                c5 = t5 * a5
                v = c0 + c1 + c2 + c3 + c4 + c5
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_6(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    s0, s1, s2, s3, s4, s5 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            t1 = (of_brain(x1[i]) - base)
            t2 = (of_brain(x2[i]) - base)
            t3 = (of_brain(x3[i]) - base)
            t4 = (of_brain(x4[i]) - base)
            t5 = (of_brain(x5[i]) - base)
            top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5), INFINITE)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            offset = t5 - mean
            mean = mean + offset / np.float32(6)
            total = total + offset * (t5 - mean)
            far = total / np.float32(6) >= enough
            t0 = t0 if far else NONE
            t1 = t1 if far else NONE
            t2 = t2 if far else NONE
            t3 = t3 if far else NONE
            t4 = t4 if far else NONE
            t5 = t5 if far else NONE
            vote = t0 + t1 + t2 + t3 + t4 + t5
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            a1 = (t1 if (toward(t1, vote) > 0) & some else NONE) * w1
            a2 = (t2 if (toward(t2, vote) > 0) & some else NONE) * w2
            a3 = (t3 if (toward(t3, vote) > 0) & some else NONE) * w3
            a4 = (t4 if (toward(t4, vote) > 0) & some else NONE) * w4
            a5 = (t5 if (toward(t5, vote) > 0) & some else NONE) * w5
            v = a0 + a1 + a2 + a3 + a4 + a5
            d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4) + (s5 if a5 != 0 else NONE * s5)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_6(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            t1 = of_brain(x1[i]) - base
            t2 = of_brain(x2[i]) - base
            t3 = of_brain(x3[i]) - base
            t4 = of_brain(x4[i]) - base
            t5 = of_brain(x5[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            top = highest(top, x1[i], INFINITE_BRAIN)
            top = highest(top, x2[i], INFINITE_BRAIN)
            top = highest(top, x3[i], INFINITE_BRAIN)
            top = highest(top, x4[i], INFINITE_BRAIN)
            top = highest(top, x5[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            offset = t5 - mean
            mean = mean + offset / np.float32(6)
            total = total + offset * (t5 - mean)
            row[i] = total / np.float32(6)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True


@njit(**OPTIONS)
def add_7(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4, w5, w6 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                v = v + (of_brain(x5[i]) - base) * w5
                v = v + (of_brain(x6[i]) - base) * w6
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                v = v + (of_brain(x5[i]) - base) * w5
                v = v + (of_brain(x6[i]) - base) * w6
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                v = v + of_brain(x5[i]) * w5
                v = v + of_brain(x6[i]) * w6
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                v = v + of_brain(x5[i]) * w5
                v = v + of_brain(x6[i]) * w6
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_7(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4, l5, l6 = low[0], low[1], low[2], low[3], low[4], low[5], low[6]
    h0, h1, h2, h3, h4, h5, h6 = high[0], high[1], high[2], high[3], high[4], high[5], high[6]
    w0, w1, w2, w3, w4, w5, w6 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4 + t5 * w5 + t6 * w6
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4 + t5 * w5 + t6 * w6
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_7(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4, l5, l6 = low[0], low[1], low[2], low[3], low[4], low[5], low[6]
    h0, h1, h2, h3, h4, h5, h6 = high[0], high[1], high[2], high[3], high[4], high[5], high[6]
    w0, w1, w2, w3, w4, w5, w6 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6]
    s0, s1, s2, s3, s4, s5, s6 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 * w5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 * w6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 * w5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 * w6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
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
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_7(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0, f1, f2, f3, f4, f5, f6 = factors[0], factors[1], factors[2], factors[3], factors[4], factors[5], factors[6]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                a5 = ONE if abs(t5) > small else NONE
                a6 = ONE if abs(t6) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4 + a5 + a6
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                c5 = t5 * a5
                c6 = t6 * a6
                c0 = c0 * f0 if sharing == 1 else c0
                c1 = c1 * f1 if sharing == 1 else c1
                c2 = c2 * f2 if sharing == 1 else c2
                c3 = c3 * f3 if sharing == 1 else c3
                c4 = c4 * f4 if sharing == 1 else c4
                c5 = c5 * f5 if sharing == 1 else c5
                c6 = c6 * f6 if sharing == 1 else c6
                v = c0 + c1 + c2 + c3 + c4 + c5 + c6
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                a5 = ONE if abs(t5) > small else NONE
                a6 = ONE if abs(t6) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4 + a5 + a6
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                c5 = t5 * a5
                c6 = t6 * a6
                v = c0 + c1 + c2 + c3 + c4 + c5 + c6
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_7(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4, w5, w6 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6]
    s0, s1, s2, s3, s4, s5, s6 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            t1 = (of_brain(x1[i]) - base)
            t2 = (of_brain(x2[i]) - base)
            t3 = (of_brain(x3[i]) - base)
            t4 = (of_brain(x4[i]) - base)
            t5 = (of_brain(x5[i]) - base)
            t6 = (of_brain(x6[i]) - base)
            top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6), INFINITE)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            offset = t5 - mean
            mean = mean + offset / np.float32(6)
            total = total + offset * (t5 - mean)
            offset = t6 - mean
            mean = mean + offset / np.float32(7)
            total = total + offset * (t6 - mean)
            far = total / np.float32(7) >= enough
            t0 = t0 if far else NONE
            t1 = t1 if far else NONE
            t2 = t2 if far else NONE
            t3 = t3 if far else NONE
            t4 = t4 if far else NONE
            t5 = t5 if far else NONE
            t6 = t6 if far else NONE
            vote = t0 + t1 + t2 + t3 + t4 + t5 + t6
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            a1 = (t1 if (toward(t1, vote) > 0) & some else NONE) * w1
            a2 = (t2 if (toward(t2, vote) > 0) & some else NONE) * w2
            a3 = (t3 if (toward(t3, vote) > 0) & some else NONE) * w3
            a4 = (t4 if (toward(t4, vote) > 0) & some else NONE) * w4
            a5 = (t5 if (toward(t5, vote) > 0) & some else NONE) * w5
            a6 = (t6 if (toward(t6, vote) > 0) & some else NONE) * w6
            v = a0 + a1 + a2 + a3 + a4 + a5 + a6
            d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4) + (s5 if a5 != 0 else NONE * s5) + (s6 if a6 != 0 else NONE * s6)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_7(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            t1 = of_brain(x1[i]) - base
            t2 = of_brain(x2[i]) - base
            t3 = of_brain(x3[i]) - base
            t4 = of_brain(x4[i]) - base
            t5 = of_brain(x5[i]) - base
            t6 = of_brain(x6[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            top = highest(top, x1[i], INFINITE_BRAIN)
            top = highest(top, x2[i], INFINITE_BRAIN)
            top = highest(top, x3[i], INFINITE_BRAIN)
            top = highest(top, x4[i], INFINITE_BRAIN)
            top = highest(top, x5[i], INFINITE_BRAIN)
            top = highest(top, x6[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            offset = t5 - mean
            mean = mean + offset / np.float32(6)
            total = total + offset * (t5 - mean)
            offset = t6 - mean
            mean = mean + offset / np.float32(7)
            total = total + offset * (t6 - mean)
            row[i] = total / np.float32(7)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True


@njit(**OPTIONS)
def add_8(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4, w5, w6, w7 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        x7 = carray(pointer_2(addresses[first + 7] + 2 * at), (m,))
        top = np.int32(0)
        if delta and divisor == 1:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                v = v + (of_brain(x5[i]) - base) * w5
                v = v + (of_brain(x6[i]) - base) * w6
                v = v + (of_brain(x7[i]) - base) * w7
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + v * factor
        elif delta:
            for i in range(m):
                base = row[i]
                v = (of_brain(x0[i]) - base) * w0
                v = v + (of_brain(x1[i]) - base) * w1
                v = v + (of_brain(x2[i]) - base) * w2
                v = v + (of_brain(x3[i]) - base) * w3
                v = v + (of_brain(x4[i]) - base) * w4
                v = v + (of_brain(x5[i]) - base) * w5
                v = v + (of_brain(x6[i]) - base) * w6
                v = v + (of_brain(x7[i]) - base) * w7
                top = highest(top, bits_of(v), INFINITE)
                row[i] = base + (v / divisor) * factor
        elif divisor == 1:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                v = v + of_brain(x5[i]) * w5
                v = v + of_brain(x6[i]) * w6
                v = v + of_brain(x7[i]) * w7
                top = highest(top, bits_of(v), INFINITE)
                row[i] = v * factor
        else:
            for i in range(m):
                v = of_brain(x0[i]) * w0
                v = v + of_brain(x1[i]) * w1
                v = v + of_brain(x2[i]) * w2
                v = v + of_brain(x3[i]) * w3
                v = v + of_brain(x4[i]) * w4
                v = v + of_brain(x5[i]) * w5
                v = v + of_brain(x6[i]) * w6
                v = v + of_brain(x7[i]) * w7
                top = highest(top, bits_of(v), INFINITE)
                row[i] = (v / divisor) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def band_8(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4, l5, l6, l7 = low[0], low[1], low[2], low[3], low[4], low[5], low[6], low[7]
    h0, h1, h2, h3, h4, h5, h6, h7 = high[0], high[1], high[2], high[3], high[4], high[5], high[6], high[7]
    w0, w1, w2, w3, w4, w5, w6, w7 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        x7 = carray(pointer_2(addresses[first + 7] + 2 * at), (m,))
        top = np.int32(0)
        if divisor == 1:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                t7 = (of_brain(x7[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
                t7 = t7 if (abs(t7) >= l7) & (abs(t7) <= h7) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4 + t5 * w5 + t6 * w6 + t7 * w7
                row[i] = base + v * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                t7 = (of_brain(x7[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7), INFINITE)
                t0 = t0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
                t7 = t7 if (abs(t7) >= l7) & (abs(t7) <= h7) else NONE
                v = t0 * w0 + t1 * w1 + t2 * w2 + t3 * w3 + t4 * w4 + t5 * w5 + t6 * w6 + t7 * w7
                row[i] = base + v / divisor * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def elect_8(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    low, high, weights, shares, even, divide, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    l0, l1, l2, l3, l4, l5, l6, l7 = low[0], low[1], low[2], low[3], low[4], low[5], low[6], low[7]
    h0, h1, h2, h3, h4, h5, h6, h7 = high[0], high[1], high[2], high[3], high[4], high[5], high[6], high[7]
    w0, w1, w2, w3, w4, w5, w6, w7 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7]
    s0, s1, s2, s3, s4, s5, s6, s7 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6], shares[7]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        x7 = carray(pointer_2(addresses[first + 7] + 2 * at), (m,))
        top = np.int32(0)
        if divide:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                t7 = (of_brain(x7[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 * w5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 * w6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
                t7 = t7 * w7 if (abs(t7) >= l7) & (abs(t7) <= h7) else NONE
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
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                t7 = (of_brain(x7[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7), INFINITE)
                t0 = t0 * w0 if (abs(t0) >= l0) & (abs(t0) <= h0) else NONE
                t1 = t1 * w1 if (abs(t1) >= l1) & (abs(t1) <= h1) else NONE
                t2 = t2 * w2 if (abs(t2) >= l2) & (abs(t2) <= h2) else NONE
                t3 = t3 * w3 if (abs(t3) >= l3) & (abs(t3) <= h3) else NONE
                t4 = t4 * w4 if (abs(t4) >= l4) & (abs(t4) <= h4) else NONE
                t5 = t5 * w5 if (abs(t5) >= l5) & (abs(t5) <= h5) else NONE
                t6 = t6 * w6 if (abs(t6) >= l6) & (abs(t6) <= h6) else NONE
                t7 = t7 * w7 if (abs(t7) >= l7) & (abs(t7) <= h7) else NONE
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
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def changed_8(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    factors, boost, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    f0, f1, f2, f3, f4, f5, f6, f7 = factors[0], factors[1], factors[2], factors[3], factors[4], factors[5], factors[6], factors[7]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        x7 = carray(pointer_2(addresses[first + 7] + 2 * at), (m,))
        top = np.int32(0)
        if boost:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                t7 = (of_brain(x7[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                a5 = ONE if abs(t5) > small else NONE
                a6 = ONE if abs(t6) > small else NONE
                a7 = ONE if abs(t7) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                c5 = t5 * a5
                c6 = t6 * a6
                c7 = t7 * a7
                c0 = c0 * f0 if sharing == 1 else c0
                c1 = c1 * f1 if sharing == 1 else c1
                c2 = c2 * f2 if sharing == 1 else c2
                c3 = c3 * f3 if sharing == 1 else c3
                c4 = c4 * f4 if sharing == 1 else c4
                c5 = c5 * f5 if sharing == 1 else c5
                c6 = c6 * f6 if sharing == 1 else c6
                c7 = c7 * f7 if sharing == 1 else c7
                v = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        else:
            for i in range(m):
                base = row[i]
                t0 = (of_brain(x0[i]) - base)
                t1 = (of_brain(x1[i]) - base)
                t2 = (of_brain(x2[i]) - base)
                t3 = (of_brain(x3[i]) - base)
                t4 = (of_brain(x4[i]) - base)
                t5 = (of_brain(x5[i]) - base)
                t6 = (of_brain(x6[i]) - base)
                t7 = (of_brain(x7[i]) - base)
                top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7), INFINITE)
                a0 = ONE if abs(t0) > small else NONE
                a1 = ONE if abs(t1) > small else NONE
                a2 = ONE if abs(t2) > small else NONE
                a3 = ONE if abs(t3) > small else NONE
                a4 = ONE if abs(t4) > small else NONE
                a5 = ONE if abs(t5) > small else NONE
                a6 = ONE if abs(t6) > small else NONE
                a7 = ONE if abs(t7) > small else NONE
                sharing = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7
                c0 = t0 * a0
                c1 = t1 * a1
                c2 = t2 * a2
                c3 = t3 * a3
                c4 = t4 * a4
                c5 = t5 * a5
                c6 = t6 * a6
                c7 = t7 * a7
                v = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7
                row[i] = base + v / (sharing if sharing > 1 else ONE) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def choose_8(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    weights, shares, enough, even, scalars = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
    w0, w1, w2, w3, w4, w5, w6, w7 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], weights[6], weights[7]
    s0, s1, s2, s3, s4, s5, s6, s7 = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6], shares[7]
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        x7 = carray(pointer_2(addresses[first + 7] + 2 * at), (m,))
        top = np.int32(0)
        for i in range(m):
            base = row[i]
            t0 = (of_brain(x0[i]) - base)
            t1 = (of_brain(x1[i]) - base)
            t2 = (of_brain(x2[i]) - base)
            t3 = (of_brain(x3[i]) - base)
            t4 = (of_brain(x4[i]) - base)
            t5 = (of_brain(x5[i]) - base)
            t6 = (of_brain(x6[i]) - base)
            t7 = (of_brain(x7[i]) - base)
            top = highest(top, bits_of(t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7), INFINITE)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            offset = t5 - mean
            mean = mean + offset / np.float32(6)
            total = total + offset * (t5 - mean)
            offset = t6 - mean
            mean = mean + offset / np.float32(7)
            total = total + offset * (t6 - mean)
            offset = t7 - mean
            mean = mean + offset / np.float32(8)
            total = total + offset * (t7 - mean)
            far = total / np.float32(8) >= enough
            t0 = t0 if far else NONE
            t1 = t1 if far else NONE
            t2 = t2 if far else NONE
            t3 = t3 if far else NONE
            t4 = t4 if far else NONE
            t5 = t5 if far else NONE
            t6 = t6 if far else NONE
            t7 = t7 if far else NONE
            vote = t0 + t1 + t2 + t3 + t4 + t5 + t6 + t7
            vote = even if vote == 0 else vote
            some = (vote > 0) | (vote < 0)
            a0 = (t0 if (toward(t0, vote) > 0) & some else NONE) * w0
            a1 = (t1 if (toward(t1, vote) > 0) & some else NONE) * w1
            a2 = (t2 if (toward(t2, vote) > 0) & some else NONE) * w2
            a3 = (t3 if (toward(t3, vote) > 0) & some else NONE) * w3
            a4 = (t4 if (toward(t4, vote) > 0) & some else NONE) * w4
            a5 = (t5 if (toward(t5, vote) > 0) & some else NONE) * w5
            a6 = (t6 if (toward(t6, vote) > 0) & some else NONE) * w6
            a7 = (t7 if (toward(t7, vote) > 0) & some else NONE) * w7
            v = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7
            d = (s0 if a0 != 0 else NONE * s0) + (s1 if a1 != 0 else NONE * s1) + (s2 if a2 != 0 else NONE * s2) + (s3 if a3 != 0 else NONE * s3) + (s4 if a4 != 0 else NONE * s4) + (s5 if a5 != 0 else NONE * s5) + (s6 if a6 != 0 else NONE * s6) + (s7 if a7 != 0 else NONE * s7)
            row[i] = base + v / (instead if abs(d) <= small else d) * factor
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def count_spread_8(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
        x0 = carray(pointer_2(addresses[first + 0] + 2 * at), (m,))
        x1 = carray(pointer_2(addresses[first + 1] + 2 * at), (m,))
        x2 = carray(pointer_2(addresses[first + 2] + 2 * at), (m,))
        x3 = carray(pointer_2(addresses[first + 3] + 2 * at), (m,))
        x4 = carray(pointer_2(addresses[first + 4] + 2 * at), (m,))
        x5 = carray(pointer_2(addresses[first + 5] + 2 * at), (m,))
        x6 = carray(pointer_2(addresses[first + 6] + 2 * at), (m,))
        x7 = carray(pointer_2(addresses[first + 7] + 2 * at), (m,))
        for i in range(m):
            base = row[i]
            t0 = of_brain(x0[i]) - base
            t1 = of_brain(x1[i]) - base
            t2 = of_brain(x2[i]) - base
            t3 = of_brain(x3[i]) - base
            t4 = of_brain(x4[i]) - base
            t5 = of_brain(x5[i]) - base
            t6 = of_brain(x6[i]) - base
            t7 = of_brain(x7[i]) - base
            top = highest(top, x0[i], INFINITE_BRAIN)
            top = highest(top, x1[i], INFINITE_BRAIN)
            top = highest(top, x2[i], INFINITE_BRAIN)
            top = highest(top, x3[i], INFINITE_BRAIN)
            top = highest(top, x4[i], INFINITE_BRAIN)
            top = highest(top, x5[i], INFINITE_BRAIN)
            top = highest(top, x6[i], INFINITE_BRAIN)
            top = highest(top, x7[i], INFINITE_BRAIN)
            mean, total = t0, NONE
            offset = t1 - mean
            mean = mean + offset / np.float32(2)
            total = total + offset * (t1 - mean)
            offset = t2 - mean
            mean = mean + offset / np.float32(3)
            total = total + offset * (t2 - mean)
            offset = t3 - mean
            mean = mean + offset / np.float32(4)
            total = total + offset * (t3 - mean)
            offset = t4 - mean
            mean = mean + offset / np.float32(5)
            total = total + offset * (t4 - mean)
            offset = t5 - mean
            mean = mean + offset / np.float32(6)
            total = total + offset * (t5 - mean)
            offset = t6 - mean
            mean = mean + offset / np.float32(7)
            total = total + offset * (t6 - mean)
            offset = t7 - mean
            mean = mean + offset / np.float32(8)
            total = total + offset * (t7 - mean)
            row[i] = total / np.float32(8)
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True
