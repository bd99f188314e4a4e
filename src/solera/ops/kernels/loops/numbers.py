"""Numbers and bits for the compiled loops: what LLVM does in one instruction and numba has no name for."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

TILE = 1024
"""Elements that are worked on together, so that they stay in the first-level cache; whole rows may be longer."""

CELL = 65_536
MOST = 8
"""Most models that the loops over all of them take."""

OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""How far the numbers that entries are drawn by lie apart: added entry by entry, where a product would cost more."""

_I32, _F32 = ir.IntType(32), ir.FloatType()
_I64, _F64 = ir.IntType(64), ir.DoubleType()


def _pointer(kind: Any) -> Any:
    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:  # noqa: ARG001
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), build

    return pointer


pointer_1, pointer_2, pointer_4 = _pointer(types.int8), _pointer(types.int16), _pointer(types.int32)
pointer_8, pointer_2u, pointer_4u = _pointer(types.int64), _pointer(types.uint16), _pointer(types.uint32)
pointer_f, pointer_d = _pointer(types.float32), _pointer(types.float64)


@intrinsic
def wide(typingctx: Any) -> Any:  # noqa: ARG001
    """Let the loops of the calling function use the widest vectors: with AVX-512, LLVM keeps to half of them.

    llvmlite checks names that are added to a function's attributes, and knows only those without a value.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), build


@intrinsic
def of_brain(typingctx: Any, bits: Any) -> Any:  # noqa: ARG001
    """bfloat16 bits as float32."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(builder.shl(builder.zext(args[0], _I32), _I32(16)), _F32)

    return types.float32(types.int16), build


@intrinsic
def of_narrow(typingctx: Any, bits: Any, shift: Any, body: Any, exponent: Any, bias: Any, least: Any) -> Any:  # noqa: ARG001
    """fp16 or fp8 bits as float32."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        wide = builder.sext(args[0], _I32)
        inner = builder.and_(builder.shl(wide, args[1]), args[2])
        small = builder.icmp_signed("==", builder.and_(inner, args[3]), _I32(0))
        moved = builder.add(inner, args[4])
        raised = builder.fsub(builder.bitcast(builder.add(moved, _I32(1 << 23)), _F32), args[5])
        value = builder.select(small, builder.bitcast(raised, _I32), moved)
        return builder.bitcast(builder.or_(value, builder.and_(wide, _I32(-(2**31)))), _F32)

    i32 = types.int32
    return types.float32(bits, i32, i32, i32, i32, types.float32), build


@intrinsic
def highest(typingctx: Any, top: Any, bits: Any, mask: Any) -> Any:  # noqa: ARG001
    """The greater of `top` and the masked bits: numba makes int64 of int32, and LLVM half as many lanes of those."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        bits_ = builder.sext(args[1], _I32) if signature.args[1].bitwidth < 32 else args[1]
        chosen = builder.and_(bits_, args[2])
        return builder.select(builder.icmp_signed(">", chosen, args[0]), chosen, args[0])

    return types.int32(types.int32, bits, types.int32), build


@intrinsic
def size_of(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """The bits of a float32's magnitude."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.and_(builder.bitcast(args[0], _I32), _I32(0x7FFFFFFF))

    return types.int32(types.float32), build


@intrinsic
def bits_of(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """The bits of a float32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], _I32)  # noqa: ARG005


@intrinsic
def float_of(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """The float32 of these bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], _F32)  # noqa: ARG005


@intrinsic
def toward(typingctx: Any, value: Any, other: Any) -> Any:  # noqa: ARG001
    """A value, with its sign turned where the other's is negative: positive where both have one sign."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        own, others = (builder.bitcast(arg, _I32) for arg in args)
        return builder.bitcast(builder.xor(own, builder.and_(others, _I32(-(2**31)))), _F32)

    return types.float32(types.float32, types.float32), build


@intrinsic
def long_of(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """The bits of a float64."""
    return types.int64(types.float64), lambda context, builder, signature, args: builder.bitcast(args[0], _I64)  # noqa: ARG005


@intrinsic
def double_of(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """The float64 of these bits."""
    return types.float64(types.int64), lambda context, builder, signature, args: builder.bitcast(args[0], _F64)  # noqa: ARG005


@intrinsic
def to_brain(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """bfloat16 bits of a float32, to nearest even."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        bits = builder.bitcast(args[0], _I32)
        odd = builder.and_(builder.lshr(bits, _I32(16)), _I32(1))
        rounded = builder.lshr(builder.add(builder.add(bits, _I32(0x7FFF)), odd), _I32(16))
        nan = builder.fcmp_unordered("uno", args[0], args[0])
        return builder.trunc(builder.select(nan, _I32(0x7FC0), rounded), ir.IntType(16))

    return types.int16(types.float32), build


@intrinsic
def to_half(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """float16 bits of a float32, to nearest even; too large gives infinity."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        bits = builder.bitcast(args[0], _I32)
        size = builder.and_(bits, _I32(0x7FFFFFFF))
        odd = builder.and_(builder.lshr(size, _I32(13)), _I32(1))
        moved = builder.add(builder.add(size, _I32(0x0FFF - (112 << 23))), odd)
        normal = builder.lshr(moved, _I32(13))
        # adding one half puts the last bit of a subnormal half at the last bit of the sum, which rounds it
        shifted = builder.fadd(builder.bitcast(size, _F32), ir.Constant(_F32, 0.5))
        tiny = builder.sub(builder.bitcast(shifted, _I32), _I32(0x3F000000))
        half = builder.select(builder.icmp_unsigned("<", size, _I32(0x38800000)), tiny, normal)
        half = builder.select(builder.icmp_unsigned(">=", size, _I32(0x47800000)), _I32(0x7C00), half)
        half = builder.or_(half, builder.and_(builder.lshr(bits, _I32(16)), _I32(0x8000)))
        nan = builder.fcmp_unordered("uno", args[0], args[0])
        return builder.trunc(builder.select(nan, _I32(0x7E00), half), ir.IntType(16))

    return types.int16(types.float32), build


@njit(**OPTIONS)
def drawn(walk: Any) -> Any:
    """The 53 bits of an entry's draw."""
    mixed = (walk ^ (walk >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)
