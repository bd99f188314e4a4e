"""Which entries operations leave, as bits: noted while sums are taken, used when the block is written."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201, ANN202, ARG001

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from solera.ops.kernels.loops.numbers import OPTIONS, bits_of, float_of, wide

LANES = 16
_I16, _I32 = ir.IntType(16), ir.IntType(32)
_WORDS, _CHOSEN = ir.VectorType(_I32, LANES), ir.VectorType(ir.IntType(1), LANES)


def _at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def note_sixteen(typingctx, values, mask):
    """Sixteen values at an address to two bytes at another."""

    def build(context, builder, signature, args):
        found = builder.load(_at(builder, args[0], _WORDS))
        found.align = 4
        some = builder.icmp_signed("!=", found, ir.Constant(_WORDS, [0] * LANES))
        builder.store(builder.bitcast(some, _I16), _at(builder, args[1], _I16)).align = 1
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), build


@intrinsic
def leave_sixteen(typingctx, values, mask):
    """Zero those of sixteen values at an address whose bits at another are not set."""

    def build(context, builder, signature, args):
        place, bits = _at(builder, args[0], _WORDS), builder.load(_at(builder, args[1], _I16))
        found = builder.load(place)
        found.align, bits.align = 4, 1
        left = builder.select(builder.bitcast(bits, _CHOSEN), found, ir.Constant(_WORDS, [0] * LANES))
        builder.store(left, place).align = 4
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), build


@njit(**OPTIONS)
def note(T, m, at, masks):
    """Note where the m values of each row are not +0; `at` is the place of the first in the leaf, a multiple of 8."""
    for k in range(T.shape[0]):
        note_row(T[k, :m], masks[k, at // 8 : (at + m + 7) // 8])


@njit(**OPTIONS)
def note_row(row, mask):
    """Eight values to a byte, the first in the lowest bit."""
    wide()
    n, values, place = row.shape[0], row.ctypes.data, mask.ctypes.data
    for i in range(0, n - LANES + 1, LANES):
        note_sixteen(values + 4 * i, place + i // 8)
    for i in range(n - n % LANES, n, 8):
        mask[i // 8] = byte_of(row, i, min(8, n - i))


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
    n, values, place = row.shape[0], row.ctypes.data, mask.ctypes.data
    for i in range(0, n - LANES + 1, LANES):
        leave_sixteen(values + 4 * i, place + i // 8)
    for i in range(n - n % LANES, n, 8):
        leave_byte(row, i, min(8, n - i), mask[i // 8])


@njit(**OPTIONS)
def leave_byte(row, at, count, byte):
    """Zero those of `count` values from `at` on whose bits are not set."""
    for j in range(count):
        kept = -((np.int32(byte) >> np.int32(j)) & np.int32(1))
        row[at + j] = float_of(bits_of(row[at + j]) & np.int32(kept))
