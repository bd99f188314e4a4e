"""Counts over a block: histograms of magnitudes, elected signs, changed entries."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.divergence import importance
from solera.ops.kernels.loops.memory import allocate, release, workspace
from solera.ops.kernels.loops.numbers import OPTIONS, bits_of, pointer_2u, pointer_4, pointer_8, wide
from solera.ops.kernels.loops.sifting import bracketed
from solera.ops.kernels.loops.steps import models_of, prepare, tile_of, variance, votes

NOBODY = np.int32(0)
"""Counts of a tile begin here: of 32 bits, as its numbers are, so that vectors keep their lanes."""


@njit(**OPTIONS)
def derived(T, m, of, row, at, known, one, two):
    """What is ranked, where that is not the models themselves: the variance over models (1), the importance (2)."""
    if of == 1:
        variance(T, m, one, two)
    elif of == 2:
        importance(T, m, row, known[at // row :], two)


@njit(**OPTIONS)
def tally(row, places, upper, zeros):
    """Count a row by the upper bits of its magnitudes.

    Neighbours are counted in tables of their own: equal numbers often stand together, and each would wait for the last.
    """
    n = row.shape[0]
    none = np.int32(0)
    for i in range(n):
        size = bits_of(row[i]) & np.int32(0x7FFFFFFF)
        places[i] = np.uint16(np.uint32(size) >> np.uint32(16))
        none += np.int32(1) if row[i] == 0 else np.int32(0)
    zeros[0] += none
    even, odd = upper[0], upper[1]
    for i in range(n // 2):
        even[places[2 * i]] += np.uint32(1)
        odd[places[2 * i + 1]] += np.uint32(1)
    if n % 2:
        even[places[n - 1]] += np.uint32(1)


@njit(**OPTIONS)
def inside(row, bucket, room, ends, counts, lower):
    """Count by lower bits what of a row falls into a bucket."""
    ends[0], ends[1] = (bucket << 16) - 1, (bucket + 1) << 16
    kept, _none = bracketed(row, ends, counts, room, row.ctypes.data)
    for i in range(kept):
        lower[room[i] & np.int32(0xFFFF)] += 1


@njit(**OPTIONS)
def count(n, start, reading, program, of, known, upper, zeros):
    """Histogram of magnitudes, a row per model (or one row of what is `derived`); returns whether all is finite."""
    wide()
    models, tile = models_of(reading), tile_of(program[6])
    fine = True
    own, T, base, one, two = workspace(models, tile)
    places = carray(pointer_2u(base.ctypes.data), (tile,))
    for at in range(0, n, tile):
        m = min(tile, n - at)
        if not prepare(T, base, one, two, at, m, start, reading, program):
            fine = False
            break
        derived(T, m, of, program[6], at, known, one, two)
        for k in range(upper.shape[0]):
            tally(two[:m] if of > 0 else T[k, :m], places, upper[k], zeros[k : k + 1])
    release(own)
    return fine


@njit(**OPTIONS)
def gather(n, start, reading, program, of, known, found):
    """Bits of the magnitudes, (rows, n); returns whether all input is finite."""
    wide()
    models, tile = models_of(reading), tile_of(program[6])
    fine = True
    own, T, base, one, two = workspace(models, tile)
    for at in range(0, n, tile):
        m = min(tile, n - at)
        if not prepare(T, base, one, two, at, m, start, reading, program):
            fine = False
            break
        derived(T, m, of, program[6], at, known, one, two)
        for k in range(found.shape[0]):
            row, out = two[:m] if of > 0 else T[k, :m], found[k, at : at + m]
            for i in range(m):
                out[i] = bits_of(row[i]) & np.int32(0x7FFFFFFF)
    release(own)
    return fine


@njit(**OPTIONS)
def count_bracket(n, start, reading, program, of, known, ends, counts, zeros, room, filled):
    """What lies between `ends` (rows, brackets, 2), below and at them; returns whether all input is finite."""
    wide()
    models, tile = models_of(reading), tile_of(program[6])
    fine = True
    own, T, base, one, two = workspace(models, tile)
    for at in range(0, n, tile):
        m = min(tile, n - at)
        if not prepare(T, base, one, two, at, m, start, reading, program):
            fine = False
            break
        derived(T, m, of, program[6], at, known, one, two)
        for k in range(ends.shape[0]):
            row, none = two[:m] if of > 0 else T[k, :m], 0
            for b in range(ends.shape[1]):
                free = room[k, b, filled[k, b] :]
                kept, none = bracketed(row, ends[k, b], counts[k, b], free, row.ctypes.data)
                filled[k, b] += kept
            zeros[k] += none
    release(own)
    return fine


@njit(**OPTIONS)
def count_inside(n, start, reading, program, of, known, rows, buckets, tables):
    """Histogram by lower bits inside selected (row, bucket) pairs; returns whether all input is finite."""
    wide()
    models, tile = models_of(reading), tile_of(program[6])
    fine = True
    own, T, base, one, two = workspace(models, tile)
    room = carray(pointer_4(base.ctypes.data), (tile,))
    aside = allocate(8 * 5)
    ends, counts = carray(pointer_8(aside), (2,)), carray(pointer_8(aside + 16), (3,))
    for at in range(0, n, tile):
        m = min(tile, n - at)
        if not prepare(T, base, one, two, at, m, start, reading, program):
            fine = False
            break
        derived(T, m, of, program[6], at, known, one, two)
        for r in range(rows.shape[0]):
            inside(two[:m] if of > 0 else T[rows[r], :m], buckets[r], room, ends, counts, tables[r])
    release(own)
    release(aside)
    return fine


@njit(**OPTIONS)
def ballot(n, start, reading, program, by_count, found):
    """Count entries that elect plus and minus; returns whether all input is finite."""
    wide()
    models, tile = models_of(reading), tile_of(program[6])
    fine = True
    own, T, base, one, two = workspace(models, tile)
    for at in range(0, n, tile):
        m = min(tile, n - at)
        if not prepare(T, base, one, two, at, m, start, reading, program):
            fine = False
            break
        votes(T, m, by_count, one)
        plus, minus = NOBODY, NOBODY
        for i in range(m):
            plus = np.int32(plus + np.int32(one[i] > 0))
            minus = np.int32(minus + np.int32(one[i] < 0))
        found[0] += plus
        found[1] += minus
    release(own)
    return fine


@njit(**OPTIONS)
def changed(n, start, reading, program, epsilon, found):
    """Count entries that each model changed with others (row 0 of `found`) and alone (row 1)."""
    wide()
    models, tile = models_of(reading), tile_of(program[6])
    fine = True
    own, T, base, one, two = workspace(models, tile)
    for at in range(0, n, tile):
        m = min(tile, n - at)
        if not prepare(T, base, one, two, at, m, start, reading, program):
            fine = False
            break
        for i in range(m):
            one[i] = np.float32(0)
        for k in range(models):
            row = T[k, :m]
            for i in range(m):
                one[i] = one[i] + (np.float32(1) if abs(row[i]) > epsilon else np.float32(0))
        for k in range(models):
            row = T[k, :m]
            shared, unique = NOBODY, NOBODY
            for i in range(m):
                mine = abs(row[i]) > epsilon
                shared = np.int32(shared + np.int32(mine & (one[i] > 1)))
                unique = np.int32(unique + np.int32(mine & (one[i] == 1)))
            found[0, k] += shared
            found[1, k] += unique
    release(own)
    return fine
