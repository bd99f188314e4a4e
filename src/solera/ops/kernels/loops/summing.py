"""Sums over a block, cell by cell or row by row."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201, FBT003

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.halving import above, tree_of
from solera.ops.kernels.loops.masking import note
from solera.ops.kernels.loops.memory import allocate, release, workspace
from solera.ops.kernels.loops.numbers import CELL, OPTIONS, TILE, pointer_d, pointer_f, wide
from solera.ops.kernels.loops.reading import load
from solera.ops.kernels.loops.steps import models_of, run


@njit(**OPTIONS)
def copy(source, target):
    """Numbers of one row to another; a slice that is assigned looks for overlaps first."""
    wide()
    for i in range(source.shape[0]):
        target[i] = source[i]


@njit(**OPTIONS)
def fill(cell, T, base, one, two, begin, length, start, reading, program, stops, masks):
    """The stream of one cell as it is after each of `stops`; returns whether all input is finite.

    What is left in the end is noted in `masks`, unless that is empty.
    """
    wide()
    tile = T.shape[1]
    for at in range(begin, begin + length, tile):
        m = min(tile, begin + length - at)
        if not load(T, base, at, m, reading):
            return False
        done = 0
        for s in range(stops.shape[0]):
            run(T, m, start + at, program, done, stops[s], one, two)
            done = stops[s]
            for k in range(T.shape[0]):
                copy(T[k, :m], cell[s, k, at - begin : at - begin + m])
        if masks.shape[0] > 0:
            note(T, m, start + at, masks)
    return True


@njit(**OPTIONS)
def add_up(cell, size, kind, terms, spare, found, place):
    """The sums of one cell."""
    models = cell.shape[0]
    row = 0
    for k in range(models):
        if kind == 1:
            for j in range(k, models):
                found[row, place] = tree_of(cell[k], cell[j], True, size, terms, spare)
                row += 1
        else:
            found[k, place] = tree_of(cell[k], cell[k], kind == 2, size, terms, spare)


@njit(**OPTIONS)
def sums(n, start, reading, program, stops, kind, found, masks):
    """Sums by cells, or by rows. kind 0: magnitudes, 1: products of all pairs, 2: squares.

    `found` is (stages, rows, cells); stage s sees the stream after the first `stops[s]` operations. `masks` are of the
    whole leaf, or empty. Returns whether all input is finite.
    """
    row, models = program[6], models_of(reading)
    whole = row if row > 0 else CELL
    room = above(min(whole, max(8, n)))
    tile = row if row > 0 else TILE
    own, T, base, one, two = workspace(models, tile)
    stages, some, fine = stops.shape[0], max(8, room // 8), True
    more = allocate(16 * some + 4 * stages * models * room)
    terms, spare = carray(pointer_d(more), (some,)), carray(pointer_d(more + 8 * some), (some,))
    cell = carray(pointer_f(more + 16 * some), (stages, models, room))
    for begin in range(0, n, whole):
        length = min(whole, n - begin)
        size = above(length)
        if not fill(cell, T, base, one, two, begin, length, start, reading, program, stops, masks):
            fine = False
            break
        for s in range(stages):
            cell[s, :, length:size] = np.float32(0)
            add_up(cell[s], size, kind, terms, spare, found[s], begin // whole)
    release(more)
    release(own)
    return fine
