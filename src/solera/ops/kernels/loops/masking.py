"""Which entries operations leave, as bits: noted while sums are taken, used when the block is written."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import OPTIONS, bits_of, float_of, wide


@njit(**OPTIONS)
def note(T, m, at, masks):
    """Note where the m values of each row are not +0; `at` is the place of the first in the leaf, a multiple of 8."""
    for k in range(T.shape[0]):
        note_row(T[k, :m], masks[k, at // 8 : (at + m + 7) // 8])


@njit(**OPTIONS)
def note_row(row, mask):
    """Eight values to a byte, the first in the lowest bit."""
    wide()
    whole = row.shape[0] // 8
    for b in range(whole):
        mask[b] = byte_of(row, 8 * b, 8)
    if row.shape[0] > 8 * whole:
        mask[whole] = byte_of(row, 8 * whole, row.shape[0] - 8 * whole)


@njit(**OPTIONS)
def byte_of(row, at, count):
    """Where `count` values from `at` on are not +0."""
    byte = np.int32(0)
    for j in range(count):
        byte |= (np.int32(1) if bits_of(row[at + j]) != 0 else np.int32(0)) << np.int32(j)
    return np.uint8(byte)


@njit(**OPTIONS)
def leave(T, m, at, masks):
    """Zero what was not noted."""
    for k in range(T.shape[0]):
        leave_row(T[k, :m], masks[k, at // 8 : (at + m + 7) // 8])


@njit(**OPTIONS)
def leave_row(row, mask):
    """As `leave`."""
    wide()
    whole = row.shape[0] // 8
    for b in range(whole):
        leave_byte(row, 8 * b, 8, mask[b])
    if row.shape[0] > 8 * whole:
        leave_byte(row, 8 * whole, row.shape[0] - 8 * whole, mask[whole])


@njit(**OPTIONS)
def leave_byte(row, at, count, byte):
    """Zero those of `count` values from `at` on whose bits are not set."""
    for j in range(count):
        kept = -((np.int32(byte) >> np.int32(j)) & np.int32(1))
        row[at + j] = float_of(bits_of(row[at + j]) & np.int32(kept))
