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

from solera.ops.kernels.loops.memory import stacked
from solera.ops.kernels.loops.numbers import OPTIONS, TILE, bits_of, marked, of_brain, pointer_2, pointer_f, wide
from solera.ops.kernels.loops.reading import widen

LANES = 16
PACKS = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether the processor can store chosen lanes side by side."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_WORDS, _HALVES = ir.VectorType(_I32, LANES), ir.VectorType(_I16, LANES)
_FLOATS, _CHOSEN = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(1), LANES)
_COUNTS = types.UniTuple(types.int64, 6)


def _all(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    none = ir.Constant(_WORDS, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(none, value, _I32(0)), none, ir.Constant(_WORDS, [0] * LANES))


def _loaded(builder: Any, address: Any, kind: Any) -> Any:
    vector = builder.load(builder.inttoptr(address, kind.as_pointer()))
    vector.align = 2
    return vector


def _masked(builder: Any, vector: Any, bits: int) -> Any:
    return builder.and_(vector, ir.Constant(_WORDS, [bits] * LANES))


def _number(builder: Any, chosen: Any) -> Any:
    """How many lanes are chosen."""
    count = builder.module.declare_intrinsic("llvm.ctpop", [_I16])
    return builder.zext(builder.call(count, [builder.bitcast(chosen, _I16)]), _I64)


def _store(builder: Any, sizes: Any, room: Any, chosen: Any) -> None:
    """Put the chosen lanes side by side."""
    name, kind = (
        "llvm.masked.compressstore.v16i32.p0",
        ir.FunctionType(ir.VoidType(), [_WORDS, _I32.as_pointer(), _CHOSEN]),
    )
    pack = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    arguments = [sizes, builder.inttoptr(room, _I32.as_pointer()), chosen]
    if PACKS:
        builder.call(pack, arguments)
        return
    with builder.if_then(builder.icmp_unsigned("!=", builder.bitcast(chosen, _I16), _I16(0))):
        builder.call(pack, arguments)


def _sifted(context: Any, builder: Any, sizes: Any, ends: tuple[Any, Any], room: Any, bad: Any) -> Any:
    """(under, at the first end, at the last end, zeros, kept, not finite) of sixteen magnitudes."""
    low, high = (_all(builder, end) for end in ends)
    inside = builder.and_(builder.icmp_signed(">", sizes, low), builder.icmp_signed("<", sizes, high))
    _store(builder, sizes, room, inside)
    tests = [
        builder.icmp_signed("<", sizes, low),
        builder.icmp_signed("==", sizes, low),
        builder.icmp_signed("==", sizes, high),
        builder.icmp_signed("==", sizes, ir.Constant(_WORDS, [0] * LANES)),
        inside,
    ]
    found = [*(_number(builder, test) for test in tests), bad]
    return context.make_tuple(builder, _COUNTS, found)


@intrinsic
def sift(typingctx, values, low, high, room):
    """Sixteen float32 at an address."""

    def build(context, builder, signature, args):
        sizes = _masked(builder, _loaded(builder, args[0], _WORDS), 0x7FFFFFFF)
        return _sifted(context, builder, sizes, (args[1], args[2]), args[3], _I64(0))

    return _COUNTS(types.int64, types.int32, types.int32, types.int64), build


@intrinsic
def sift_change(typingctx, values, base, low, high, room):
    """Sixteen bfloat16 at an address, less sixteen float32 at another."""

    def build(context, builder, signature, args):
        wide = builder.zext(_loaded(builder, args[0], _HALVES), _WORDS)
        wide = builder.shl(wide, ir.Constant(_WORDS, [16] * LANES))
        change = builder.fsub(builder.bitcast(wide, _FLOATS), _loaded(builder, args[1], _FLOATS))
        sizes = _masked(builder, builder.bitcast(change, _WORDS), 0x7FFFFFFF)
        infinite = ir.Constant(_WORDS, [0x7F800000] * LANES)
        bad = _number(builder, builder.icmp_signed("==", builder.and_(wide, infinite), infinite))
        return _sifted(context, builder, sizes, (args[2], args[3]), args[4], bad)

    return _COUNTS(types.int64, types.int64, types.int32, types.int32, types.int64), build


@njit(**OPTIONS)
def sift_one(size, low, high, room, counts):
    """One magnitude; returns how many are kept (0 or 1)."""
    counts[0] += 1 if size < low else 0
    counts[1] += 1 if size == low else 0
    counts[2] += 1 if (size == high) & (high > low) else 0
    if (size > low) & (size < high):
        room[0] = size
        return 1
    return 0


@njit(**OPTIONS)
def bracketed(row, ends, counts, room):
    """Keep what lies between the ends in `room`, and count what lies below and at them; returns (kept, zeros)."""
    n, low, high = row.shape[0], np.int32(ends[0]), np.int32(ends[1])
    values, place = row.ctypes.data, room.ctypes.data
    under, first, last, none, kept = 0, 0, 0, 0, 0
    for i in range(0, n - LANES + 1, LANES):
        a, b, c, d, more, _bad = sift(values + 4 * i, low, high, place + 4 * kept)
        under, first, last, none, kept = under + a, first + b, last + c, none + d, kept + more
    counts[0] += under
    counts[1] += first
    counts[2] += last if high > low else 0
    for i in range(n - n % LANES, n):
        size = bits_of(row[i]) & np.int32(0x7FFFFFFF)
        none += 1 if size == 0 else 0
        kept += sift_one(size, low, high, room[kept:], counts)
    return kept, none


@njit(**OPTIONS)
def bracketed_changes(x, base, ends, counts, room):
    """The same of bfloat16 less a base in float32; returns (kept, zeros, numbers that are not finite)."""
    n, low, high = base.shape[0], np.int32(ends[0]), np.int32(ends[1])
    values, bases, place = x.ctypes.data, base.ctypes.data, room.ctypes.data
    under, first, last, none, kept, bad = 0, 0, 0, 0, 0, 0
    for i in range(0, n - LANES + 1, LANES):
        a, b, c, d, more, worse = sift_change(values + 2 * i, bases + 4 * i, low, high, place + 4 * kept)
        under, first, last, none, kept, bad = under + a, first + b, last + c, none + d, kept + more, bad + worse
    counts[0] += under
    counts[1] += first
    counts[2] += last if high > low else 0
    for i in range(n - n % LANES, n):
        size = bits_of(of_brain(x[i]) - base[i]) & np.int32(0x7FFFFFFF)
        bad += marked(x[i], np.int32(0x7F80))
        none += 1 if size == 0 else 0
        kept += sift_one(size, low, high, room[kept:], counts)
    return kept, none, bad


@njit(**OPTIONS)
def plain_changes(reading):
    """Whether the stream is bfloat16 models less a base."""
    kinds = reading[1]
    same = reading[5]
    for o in range(1, kinds.shape[0]):
        same &= kinds[o] == 1
    return same


@njit(**OPTIONS)
def count_changes(n, reading, ends, counts, zeros, room, filled):
    """`count_bracket` of a stream that no operation changes: read, subtracted and sifted at once."""
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile = carray(pointer_f(stacked()), (TILE,))
    for at in range(0, n, TILE):
        base = tile[: min(TILE, n - at)]
        if not widen(addresses[0] + at * sizes[0], kinds[0], numbers[0], least[0], base):
            return False
        for k in range(ends.shape[0]):
            x, none = carray(pointer_2(addresses[k + 1] + 2 * at), base.shape), 0
            for b in range(ends.shape[1]):
                kept, none, bad = bracketed_changes(x, base, ends[k, b], counts[k, b], room[k, b, filled[k, b] :])
                filled[k, b] += kept
                if bad != 0:
                    return False
            zeros[k] += none
    return True
