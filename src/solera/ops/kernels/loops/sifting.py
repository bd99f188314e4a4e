"""Brackets by sixteens: how many magnitudes lie below a bracket and at its ends, and those inside, close together.

Compilers make no such loop: where the next number goes depends on how many were kept before. Processors with AVX-512 do
it in one instruction; elsewhere a group in which nothing lies inside, as in most, is passed by one branch.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201, ANN202, ARG001

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import carray, njit, types
from numba.extending import intrinsic

from solera.ops.kernels.loops.fetching import ask, fetch
from solera.ops.kernels.loops.memory import stacked
from solera.ops.kernels.loops.numbers import OPTIONS, TILE, pointer_f, size_of, wide
from solera.ops.kernels.loops.reading import widen, widen_less

LANES = 16
PACKS = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether the processor can store chosen lanes side by side."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_WORDS, _CHOSEN = ir.VectorType(_I32, LANES), ir.VectorType(ir.IntType(1), LANES)
_COUNTS = types.UniTuple(types.int64, 5)


def _all(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    none = ir.Constant(_WORDS, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(none, value, _I32(0)), none, ir.Constant(_WORDS, [0] * LANES))


def _number(builder: Any, chosen: Any) -> Any:
    """How many lanes are chosen."""
    count = builder.module.declare_intrinsic("llvm.ctpop", [_I16])
    return builder.zext(builder.call(count, [builder.bitcast(chosen, _I16)]), _I64)


@intrinsic
def sift(typingctx, values, low, high, width, room):
    """Put those of the sixteen magnitudes at an address that are less than `width` above `low` + 1 side by side.

    Returns how many lie below the low end, at it, at the high end, at zero, and how many were put. All sixteen places
    of the room are written: a store that chooses lanes is slow where nothing has been stored on its page before.
    """

    def build(context, builder, signature, args):
        """Sixteen comparisons at once, counted."""
        found = builder.load(builder.inttoptr(args[0], _WORDS.as_pointer()))
        found.align = 4
        sizes = builder.and_(found, ir.Constant(_WORDS, [0x7FFFFFFF] * LANES))
        low, high, after, width = (
            _all(builder, end) for end in (args[1], args[2], builder.add(args[1], _I32(1)), args[3])
        )
        inside = builder.icmp_unsigned("<", builder.sub(sizes, after), width)
        _store(builder, sizes, builder.inttoptr(args[4], _WORDS.as_pointer()), inside)
        tests = [
            builder.icmp_signed("<", sizes, low),
            builder.icmp_signed("==", sizes, low),
            builder.icmp_signed("==", sizes, high),
            builder.icmp_signed("==", sizes, ir.Constant(_WORDS, [0] * LANES)),
            inside,
        ]
        return context.make_tuple(builder, _COUNTS, [_number(builder, test) for test in tests])

    i32, i64 = types.int32, types.int64
    return _COUNTS(i64, i32, i32, i32, i64), build


def _store(builder: Any, sizes: Any, room: Any, chosen: Any) -> None:
    """Put the chosen lanes side by side."""
    if PACKS:
        pack = _function(builder, "llvm.experimental.vector.compress.v16i32", _WORDS, [_WORDS, _CHOSEN, _WORDS])
        builder.store(builder.call(pack, [sizes, chosen, ir.Constant(_WORDS, ir.Undefined)]), room).align = 4
        return
    name, address = "llvm.masked.compressstore.v16i32.p0", builder.bitcast(room, _I32.as_pointer())
    pack = _function(builder, name, ir.VoidType(), [_WORDS, _I32.as_pointer(), _CHOSEN])
    with builder.if_then(builder.icmp_unsigned("!=", builder.bitcast(chosen, _I16), _I16(0))):
        builder.call(pack, [sizes, address, chosen])


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """What LLVM has under a name."""
    return builder.module.declare_intrinsic(name, (), ir.FunctionType(result, arguments))


@njit(**OPTIONS)
def bracketed(row, ends, counts, room, ahead):
    """Keep what lies between the ends in `room`, and count what lies below and at them; returns (kept, zeros).

    The room is `LANES` longer than what may be kept. Meanwhile two bytes for each number are asked for, at `ahead`:
    where nothing is wanted, at the row itself, which is near.
    """
    wide()
    n, low, high = row.shape[0], np.int32(ends[0]), np.int32(ends[1])
    values, place, width = row.ctypes.data, room.ctypes.data, np.int32(high - low - 1 if high > low else 0)
    under, first, last, none, kept = 0, 0, 0, 0, 0
    for i in range(0, n - LANES + 1, LANES):
        ask(ahead + 2 * i)
        a, b, c, d, more = sift(values + 4 * i, low, high, width, place + 4 * kept)
        under, first, last, none, kept = under + a, first + b, last + c, none + d, kept + more
    for i in range(n - n % LANES, n):
        size = size_of(row[i])
        under += 1 if size < low else 0
        first += 1 if size == low else 0
        last += 1 if size == high else 0
        none += 1 if size == 0 else 0
        if (size > low) & (size < high):
            room[kept] = size
            kept += 1
    counts[0] += under
    counts[1] += first
    counts[2] += last if high > low else 0
    return kept, none


@njit(**OPTIONS)
def count_changes(n, reading, ends, counts, zeros, room, filled):
    """`count_bracket` of bfloat16 models less a base, which no operation changes: a model at a time."""
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, other = carray(pointer_f(stacked()), (TILE,)), carray(pointer_f(stacked()), (TILE,))
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        base, row = tile[:m], other[:m]
        fetch(addresses[0] + (at + TILE) * sizes[0], TILE * sizes[0])
        if not widen(addresses[0] + at * sizes[0], kinds[0], numbers[0], least[0], base):
            return False
        for k in range(ends.shape[0]):
            o, none = k + 1, 0
            ahead = addresses[o] + (at + TILE) * sizes[o]
            if not widen_less(addresses[o] + at * sizes[o], kinds[o], numbers[o], least[o], base, row):
                return False
            for b in range(ends.shape[1]):
                kept, none = bracketed(row, ends[k, b], counts[k, b], room[k, b, filled[k, b] :], ahead)
                filled[k, b] += kept
            zeros[k] += none
    return True
