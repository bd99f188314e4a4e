"""Asking for numbers before they are worked on: memory answers meanwhile.

Processors look ahead by themselves, but not from one page to the next, and not while a tile is worked on that lies in
the first-level cache. They answer some 16 lines at a time: more at once would wait, and the loop with them.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201, ANN202, ARG001

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from solera.ops.kernels.loops.numbers import OPTIONS

LINE = 64
"""Bytes that memory answers at once."""

PART = 256
"""Elements of a tile where all that comes next is asked for at its beginning: a few lines of every operand."""

AHEAD = 4 * PART
"""Elements between those that are worked on and those that are asked for."""

_I8, _I32 = ir.IntType(8), ir.IntType(32)
_READ, _KEEP, _DATA = _I32(0), _I32(3), _I32(1)


@intrinsic
def ask(typingctx, address):
    """Ask for the line at an address; one that is not there is no fault."""

    def build(context, builder, signature, args):
        """One instruction, no result."""
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        builder.call(prefetch, [builder.inttoptr(args[0], _I8.as_pointer()), _READ, _KEEP, _DATA])
        return context.get_dummy_value()

    return types.none(types.int64), build


@njit(**OPTIONS)
def fetch(address, nbytes):
    """Ask for so many bytes."""
    for place in range(0, nbytes, LINE):
        ask(address + place)


@njit(**OPTIONS)
def fetch_all(reading, at, n):
    """Ask for n elements of every operand, from one on that may lie beyond the end."""
    addresses, sizes = reading[0], reading[2]
    for o in range(addresses.shape[0]):
        fetch(addresses[o] + at * sizes[o], n * sizes[o])
