"""Room for tiles: from the system's allocator and from the stack, so that loops need nothing of numba when they run."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201, ANN202, ARG001

from __future__ import annotations

from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from solera.ops.kernels.loops.numbers import OPTIONS, TILE, pointer_f

_I8, _I64 = ir.IntType(8), ir.IntType(64)


@intrinsic
def allocate(typingctx, nbytes):
    """Address of `nbytes` bytes, which `release` gives back."""

    def build(context, builder, signature, args):
        function = ir.FunctionType(_I8.as_pointer(), [_I64])
        found = cgutils.get_or_insert_function(builder.module, function, "malloc")
        return builder.ptrtoint(builder.call(found, args), _I64)

    return types.int64(types.int64), build


@intrinsic
def release(typingctx, address):
    """Give back what `allocate` gave."""

    def build(context, builder, signature, args):
        function = ir.FunctionType(ir.VoidType(), [_I8.as_pointer()])
        found = cgutils.get_or_insert_function(builder.module, function, "free")
        builder.call(found, [builder.inttoptr(args[0], _I8.as_pointer())])
        return context.get_dummy_value()

    return types.none(types.int64), build


@intrinsic
def stacked(typingctx):
    """Address of `TILE` float32 on the stack of the calling function."""

    def build(context, builder, signature, args):
        room = cgutils.alloca_once(builder, ir.ArrayType(ir.FloatType(), TILE))
        room.align = 64
        return builder.ptrtoint(room, _I64)

    return types.int64(), build


@njit(**OPTIONS)
def workspace(models, tile):
    """Room for the tiles of a loop: its address, (models, tile) for the stream, and three more of (tile,)."""
    address, nbytes = allocate(4 * (models + 3) * tile), 4 * tile
    after = address + models * nbytes
    stream = carray(pointer_f(address), (models, tile))
    base = carray(pointer_f(after), (tile,))
    one, two = carray(pointer_f(after + nbytes), (tile,)), carray(pointer_f(after + 2 * nbytes), (tile,))
    return address, stream, base, one, two
