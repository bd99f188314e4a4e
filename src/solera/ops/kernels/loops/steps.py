"""The steps of a program on a tile: one row per model, changed in place."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import GOLDEN, MOST, OPTIONS, TILE, drawn, wide
from solera.ops.kernels.loops.ranks import drop_by_rank, keep_row_band
from solera.ops.kernels.loops.reading import load
from solera.ops.kernels.loops.tails import variance as variance_of


@njit(**OPTIONS)
def tile_of(row):
    """Elements per tile: any number, or whole rows."""
    return TILE if row == 0 else max(row, TILE // row * row)


@njit(**OPTIONS)
def models_of(reading):
    """Rows of the stream: operands without the base that is subtracted."""
    return reading[0].shape[0] - (1 if reading[5] else 0)


@njit(**OPTIONS)
def keep_between(row, low, high):
    """Zero what is not within [low, high] in magnitude."""
    wide()
    for i in range(row.shape[0]):
        size = abs(row[i])
        row[i] = row[i] if (size >= low) & (size <= high) else np.float32(0)


@njit(**OPTIONS)
def drop(row, start, key, bar, divisor):
    """Zero what is not drawn, divide the rest."""
    wide()
    walk = np.uint64(start + 1) * GOLDEN + key
    for i in range(row.shape[0]):
        row[i] = (row[i] if drawn(walk) < bar else np.float32(0)) / divisor
        walk += GOLDEN


@njit(**OPTIONS)
def scale(row, factor):
    """Multiply by a number."""
    wide()
    for i in range(row.shape[0]):
        row[i] = row[i] * factor


@njit(**OPTIONS)
def variance(T, n, mean, out):
    """Population variance over models by Welford's recurrence."""
    if T.shape[0] <= MOST:
        variance_of(T, out[:n])
        return
    for i in range(n):
        mean[i] = T[0, i]
        out[i] = np.float32(0)
    for k in range(1, T.shape[0]):
        row = T[k, :n]
        count = np.float32(k + 1)
        for i in range(n):
            offset = row[i] - mean[i]
            mean[i] = mean[i] + offset / count
            out[i] = out[i] + offset * (row[i] - mean[i])
    models = np.float32(T.shape[0])
    for i in range(n):
        out[i] = out[i] / models


@njit(**OPTIONS)
def select(T, n, least, one, two):
    """Zero entries whose variance over models is below `least`."""
    wide()
    variance(T, n, one, two)
    for k in range(T.shape[0]):
        row = T[k, :n]
        for i in range(n):
            row[i] = row[i] if two[i] >= least else np.float32(0)


@njit(**OPTIONS)
def votes(T, n, by_count, out):
    """Sum over models of the values, or of their signs."""
    wide()
    for k in range(T.shape[0]):
        row = T[k, :n]
        if by_count:
            for i in range(n):
                sign = np.float32(1) if row[i] > 0 else (np.float32(-1) if row[i] < 0 else np.float32(0))
                out[i] = sign if k == 0 else out[i] + sign
        elif k == 0:
            for i in range(n):
                out[i] = row[i]
        else:
            for i in range(n):
                out[i] = out[i] + row[i]


@njit(**OPTIONS)
def elect(T, n, by_count, even, ballot):
    """Zero what disagrees with the elected sign."""
    wide()
    votes(T, n, by_count, ballot)
    for i in range(n):
        ballot[i] = even if ballot[i] == 0 else ballot[i]
    for k in range(T.shape[0]):
        row = T[k, :n]
        for i in range(n):
            agrees = ((row[i] > 0) & (ballot[i] > 0)) | ((row[i] < 0) & (ballot[i] < 0))
            row[i] = row[i] if agrees else np.float32(0)


@njit(**OPTIONS)
def run_rows(T, n, start, code, keys, wide, row):
    """The operations that look at whole rows: a tile holds some."""
    for k in range(T.shape[0]):
        if code == 6:
            keep_row_band(T[k, :n], row, wide[0, k], wide[1, k])
        else:
            drop_by_rank(T[k, :n], row, start, keys[k], wide[0, k], wide[1, k], wide[2, k] > 0)


@njit(**OPTIONS)
def run(T, n, start, program, first, last, one, two):
    """Apply the operations [first, last) of a program to a tile in order."""
    codes, low, high, keys, bars, wide, row = program
    for o in range(first, last):
        code = codes[o]
        if code == 4:
            select(T, n, low[o, 0], one, two)
        elif code == 5:
            elect(T, n, low[o, 0] > 0, high[o, 0], one)
        elif code >= 6:
            run_rows(T, n, start, code, keys[o], wide[o], row)
        else:
            for k in range(T.shape[0]):
                if code == 1:
                    keep_between(T[k, :n], low[o, k], high[o, k])
                elif code == 2:
                    drop(T[k, :n], start, keys[o, k], bars[o, k], low[o, k])
                else:
                    scale(T[k, :n], low[o, k])


@njit(**OPTIONS)
def prepare(T, base, one, two, at, m, start, reading, program):
    """A tile of the stream as it reaches a step; returns whether all input is finite."""
    fine = load(T, base, at, m, reading)
    if fine:
        run(T, m, start + at, program, 0, program[0].shape[0], one, two)
    return fine
