"""Sketches of a difference, block by block: squares, largest magnitude, counts of magnitudes coarse and fine."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import OPTIONS, TILE, bits_of, float_of
from solera.ops.kernels.loops.reading import widen

SHIFT, USED, ZEROS, LIMIT = 0, 1, 2, 3


@njit(**OPTIONS)
def place(table, want):
    """Where a key is, or where it would be put: open addressing in (slots, 2); `want` is one more than the key."""
    mask = np.uint32(table.shape[0] - 1)
    mixed = np.uint32(want * np.uint32(2654435769))
    at = np.uint32(mixed ^ (mixed >> np.uint32(15))) & mask
    while table[at, 0] != want and table[at, 0] != 0:
        at = np.uint32(at + np.uint32(1)) & mask
    return at


@njit(**OPTIONS)
def moved(table, slots, down, state):
    """The same counts in a table of so many slots, at a resolution lower by `down` bits."""
    made = np.zeros((slots, 2), np.uint32)
    used = 0
    for i in range(table.shape[0]):
        if table[i, 0] != 0:
            want = np.uint32(((table[i, 0] - np.uint32(1)) >> np.uint32(down)) + np.uint32(1))
            at = place(made, want)
            used += 1 if made[at, 0] == 0 else 0
            made[at, 0] = want
            made[at, 1] += table[i, 1]
    state[SHIFT] += down
    state[USED] = used
    return made


@njit(**OPTIONS)
def tally(sizes, table, coarse, state):
    """Count a tile of magnitudes, given as bits: in 512 coarse buckets, and in the fine table, which has room."""
    shift, used = np.uint32(state[SHIFT]), 0
    for i in range(sizes.shape[0]):
        size = np.uint32(sizes[i])
        coarse[size >> np.uint32(22)] += np.uint32(1)
        want = np.uint32((size >> shift) + np.uint32(1))
        at = place(table, want)
        used += 1 if table[at, 0] == 0 else 0
        table[at, 0] = want
        table[at, 1] += np.uint32(1)
    state[USED] += used


@njit(**OPTIONS)
def squared(values):
    """Sum of squares in float64, in four lanes."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    n = values.shape[0]
    for i in range(n // 4):
        s0 += np.float64(values[4 * i]) * np.float64(values[4 * i])
        s1 += np.float64(values[4 * i + 1]) * np.float64(values[4 * i + 1])
        s2 += np.float64(values[4 * i + 2]) * np.float64(values[4 * i + 2])
        s3 += np.float64(values[4 * i + 3]) * np.float64(values[4 * i + 3])
    for i in range(n // 4 * 4, n):
        s0 += np.float64(values[i]) * np.float64(values[i])
    return (s0 + s1) + (s2 + s3)


@njit(**OPTIONS)
def magnitudes(base, values, sizes):
    """Subtract the base in place, and take the bits of the magnitudes; returns the largest, and how many are zero."""
    most, none = np.int32(0), np.int32(0)
    for i in range(values.shape[0]):
        values[i] -= base[i]
        sizes[i] = bits_of(values[i]) & np.int32(0x7FFFFFFF)
        most = max(most, sizes[i])
        none += np.int32(1) if sizes[i] == 0 else np.int32(0)
    return most, none


@njit(**OPTIONS)
def sketch(n, block, base, other, squares, lengths, largest, coarse, table, state):
    """Sketch n elements, a whole number of blocks but for the last; the code is 0, or 1 (base) or 2 where not finite.

    `base` and `other`: (address, kind, numbers, least, itemsize). squares, largest: of the difference, by block;
    lengths: squares of the base; coarse (blocks, 512). Returns (code, table).
    """
    one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    sizes = np.empty(TILE, np.int32)
    for at in range(0, n, TILE):
        b, m = at // block, min(TILE, n - at)
        if not widen(base[0] + at * base[4], base[1], base[2], base[3], one[:m]):
            return 1, table
        if not widen(other[0] + at * other[4], other[1], other[2], other[3], two[:m]):
            return 2, table
        most, none = magnitudes(one[:m], two[:m], sizes)
        squares[b] += squared(two[:m])
        lengths[b] += squared(one[:m])
        largest[b] = max(largest[b], float_of(most))
        state[ZEROS] += none
        if 2 * (state[USED] + m) > table.shape[0]:
            table = moved(table, 2 * table.shape[0], 0, state)
        tally(sizes[:m], table, coarse[b], state)
        while state[USED] > state[LIMIT]:
            table = moved(table, table.shape[0], 1, state)
    return 0, table
