"""Reductions over models, and the loop that merges a block."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.divergence import importance
from solera.ops.kernels.loops.masking import leave
from solera.ops.kernels.loops.memory import release, workspace
from solera.ops.kernels.loops.numbers import MOST, OPTIONS, wide
from solera.ops.kernels.loops.reading import load, narrow
from solera.ops.kernels.loops.steps import models_of, run, scale, tile_of
from solera.ops.kernels.loops.tails import add_tail, elect_tail, weigh_tail


@njit(**OPTIONS)
def total(T, n, out):
    """Sum over models, left to right."""
    wide()
    for k in range(T.shape[0]):
        row = T[k, :n]
        if k == 0:
            for i in range(n):
                out[i] = row[i]
        else:
            for i in range(n):
                out[i] = out[i] + row[i]


@njit(**OPTIONS)
def weighted_total(T, n, factors, out):
    """Sum of factor times operand, left to right."""
    wide()
    for k in range(T.shape[0]):
        row, factor = T[k, :n], factors[k]
        if k == 0:
            for i in range(n):
                out[i] = row[i] * factor
        else:
            for i in range(n):
                out[i] = out[i] + row[i] * factor


@njit(**OPTIONS)
def disjoint(T, n, shares, later, small, instead, out, divisor):
    """Sum of what is not 0 over the sum of its shares."""
    wide()
    for k in range(T.shape[0]):
        row, share, factor = T[k, :n], shares[k], later[k]
        none = np.float32(0) * share
        if k == 0:
            for i in range(n):
                out[i] = row[i] * factor
                divisor[i] = share if row[i] != 0 else none
        else:
            for i in range(n):
                out[i] = out[i] + row[i] * factor
                divisor[i] = divisor[i] + (share if row[i] != 0 else none)
    for i in range(n):
        out[i] = out[i] / (instead if abs(divisor[i]) <= small else divisor[i])


@njit(**OPTIONS)
def average_changed(T, n, epsilon, factors, boost, out, sharing):
    """Average over the models that changed an entry."""
    wide()
    for i in range(n):
        sharing[i] = np.float32(0)
    for k in range(T.shape[0]):
        row = T[k, :n]
        for i in range(n):
            sharing[i] = sharing[i] + (np.float32(1) if abs(row[i]) > epsilon else np.float32(0))
    for k in range(T.shape[0]):
        row, factor = T[k, :n], factors[k]
        for i in range(n):
            kept = row[i] * (np.float32(1) if abs(row[i]) > epsilon else np.float32(0))
            if boost:
                kept = kept * factor if sharing[i] == 1 else kept
            out[i] = kept if k == 0 else out[i] + kept
    for i in range(n):
        out[i] = out[i] / (sharing[i] if sharing[i] > 1 else np.float32(1))


@njit(**OPTIONS)
def swap_near(base, x, t, out):
    """Interpolate from the base by closeness."""
    wide()
    for i in range(out.shape[0]):
        size = abs(base[i] - x[i])
        size = max(np.float32(1e-06), size)
        near = (np.float32(1) / size) * t
        near = near if near < 1 else np.float32(1)
        out[i] = near * x[i] + (np.float32(1) - near) * base[i]


@njit(**OPTIONS)
def weighted_rows(T, n, at, row, factors, out):
    """Sum of factor times operand, left to right; every row of the block has its own factors, model by model."""
    wide()
    models = T.shape[0]
    for begin in range(0, n, row):
        place = (at + begin) // row * models
        weighted_total(T[:, begin : begin + row], row, factors[place : place + models], out[begin : begin + row])


@njit(**OPTIONS)
def take_important(T, n, row, known, least, out, spare):
    """The base, moved to the model where the change's importance is not below a threshold."""
    importance(T, n, row, known, spare)
    base, x = T[0, :n], T[1, :n]
    for i in range(n):
        out[i] = base[i] + (x[i] - base[i] if spare[i] >= least else np.float32(0))


@njit(**OPTIONS)
def reduce(T, m, at, ends, row, known, result, spare):
    """One value from the models', before it is scaled."""
    ending, shares, later, scalars = ends
    if ending == 1:
        total(T, m, result)
    elif ending == 2:
        weighted_total(T, m, shares, result)
    elif ending == 3:
        disjoint(T, m, shares, later, scalars[2], scalars[3], result, spare)
    elif ending == 4:
        average_changed(T, m, scalars[2], shares, scalars[3] > 0, result, spare)
    elif ending == 5:
        swap_near(T[0, :m], T[1, :m], scalars[2], result)
    elif ending == 6:
        take_important(T, m, row, known[at // row :], scalars[2], result, spare)
    else:
        weighted_rows(T, m, at, row, shares, result)


@njit(**OPTIONS)
def finish(result, ends, base, delta):
    """Divide, multiply, add the base."""
    wide()
    divisor, factor = ends[3][0], ends[3][1]
    if divisor != 1:
        for i in range(result.shape[0]):
            result[i] = result[i] / divisor
    if factor != 1:
        scale(result, factor)
    if delta:
        for i in range(result.shape[0]):
            result[i] = base[i] + result[i]


@njit(**OPTIONS)
def tail_of(program, ends, delta, models):
    """Which loop over all models ends the merge, and how many operations come before it.

    1 is a sum, 2 an election by sum of weighed values, 3 one before they are weighed, 0 none.
    """
    codes, low = program[0], program[1]
    ending, _shares, later, scalars = ends
    n = codes.shape[0]
    if not delta or models > MOST:
        return 0, n
    if ending == 2:
        return 1, n
    plain = n >= 2 and scalars[0] == 1
    for k in range(models):
        plain &= later[k] == 1
    if not plain:
        return 0, n
    if codes[n - 2] == 3 and codes[n - 1] == 5 and low[n - 1, 0] == 0 and ((ending == 1) | (ending == 3)):
        return 2, n - 2
    if codes[n - 2] == 5 and codes[n - 1] == 3 and low[n - 2, 0] == 0 and ending == 3:
        return 3, n - 2
    return 0, n


@njit(**OPTIONS)
def end(tail, T, row, before, program, ends):
    """The result over the tile that held the base."""
    ending, shares, _later, scalars = ends
    if tail == 1:
        add_tail(T, row, shares, scalars)
    elif tail == 3:
        weigh_tail(T, row, program[1][before + 1], shares, program[2][before, 0], scalars)
    else:
        elect_tail(T, row, program[1][before], shares, program[2][before + 1, 0], ending == 3, scalars)


@njit(**OPTIONS)
def write(n, start, reading, program, ends, masks, noted, known, target, target_kind, target_size):
    """Merge elements [0, n) of a block. Returns 0; 1 for an input that is not finite, 2 for one that does not fit.

    Unless `masks` are empty, they say what the first `noted` operations leave. `known` are the divergences of the
    block's rows; those that are negative are found and noted.
    """
    wide()
    row = program[6]
    tile = tile_of(row)
    own, T, base, one, two = workspace(models_of(reading), tile)
    verdict = 0
    tail, before = tail_of(program, ends, reading[5], T.shape[0])
    for at in range(0, n, tile):
        m = min(tile, n - at)
        if not load(T, base, at, m, reading):
            verdict = 1
            break
        if masks.shape[0] > 0:
            leave(T, m, start + at, masks)
        run(T, m, start + at, program, noted, before, one, two)
        result = two[:m] if tail == 0 else base[:m]
        if tail == 0:
            reduce(T, m, at, ends, row, known, result, one)
            finish(result, ends, base, reading[5])
        else:
            end(tail, T, result, before, program, ends)
        if not narrow(result, target + at * target_size, target_kind):
            verdict = 2
    release(own)
    return verdict
