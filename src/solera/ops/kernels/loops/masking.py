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
        byte = np.int32(0)
        for j in range(8):
            byte |= (np.int32(1) if bits_of(row[8 * b + j]) != 0 else np.int32(0)) << np.int32(j)
        mask[b] = np.uint8(byte)
    if row.shape[0] > 8 * whole:
        byte = np.int32(0)
        for j in range(row.shape[0] - 8 * whole):
            byte |= (np.int32(1) if bits_of(row[8 * whole + j]) != 0 else np.int32(0)) << np.int32(j)
        mask[whole] = np.uint8(byte)


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
        byte = np.int32(mask[b])
        for j in range(8):
            kept = -((byte >> np.int32(j)) & np.int32(1))
            row[8 * b + j] = float_of(bits_of(row[8 * b + j]) & np.int32(kept))
    for j in range(row.shape[0] - 8 * whole):
        if (np.int32(mask[whole]) >> np.int32(j)) & np.int32(1) == 0:
            row[8 * whole + j] = np.float32(0)
