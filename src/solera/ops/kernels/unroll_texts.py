"""What `unroll.py` fills in: the heads of the files that it writes, and frames of their loops."""

from __future__ import annotations

HEAD = '''"""The commonest merges of bfloat16, all models in one loop. Made by `unroll.py`; do not edit.

Each reads its operands once, keeps every value in a register and writes the result over the tile that held the base.
Returns 1 where something is not finite: an input, or a sum of finite inputs, which `write` tells apart.
"""

# ruff: noqa: E501, D103, ANN001, ANN201, PLR0915, C901, F841
# fmt: off
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.fetching import AHEAD, PART, fetch_all
from solera.ops.kernels.loops.memory import stacked
from solera.ops.kernels.loops.numbers import (
    OPTIONS,
    bits_of,
    highest,
    of_brain,
    pointer_2,
    pointer_f,
    toward,
    wide,
)
from solera.ops.kernels.loops.reading import narrow, widen
from solera.ops.kernels.loops.sifting import bracketed

INFINITE, INFINITE_BRAIN = np.int32(0x7F800000), np.int32(0x7F80)
NONE, ONE = np.float32(0), np.float32(1)
'''

FRAME = """

@njit(**OPTIONS)
def {name}_{k}(n, reading, given, target, target_kind, target_size):
    wide()
    addresses, kinds, sizes, numbers, least, delta = reading
    {taken} = given
    tile = carray(pointer_f(stacked()), (PART,))
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    first = 1 if delta else 0
{unpack}
    verdict = 0
    for at in range(0, n, PART):
        m = min(PART, n - at)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if delta and not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return 1
{open}
        top = np.int32(0)
{loops}
        if top == INFINITE:
            return 1
        if not narrow(row, target + at * target_size, target_kind):
            verdict = 2
    return verdict
"""

COUNT_SPREAD = """

@njit(**OPTIONS)
def count_spread_{k}(n, reading, ends, counts, zeros, room, filled):
    wide()
    addresses, kinds, sizes, numbers, least, _delta = reading
    tile, first = carray(pointer_f(stacked()), (PART,)), 1
    for at in range(0, n, PART):
        m, none, top = min(PART, n - at), 0, np.int32(0)
        fetch_all(reading, at + AHEAD, PART)
        row = tile[:m]
        if not widen(addresses[0] + sizes[0] * at, kinds[0], numbers[0], least[0], row):
            return False
{open}
        for i in range(m):
{body}
        if top == INFINITE_BRAIN:
            return False
        for b in range(ends.shape[1]):
            kept, none = bracketed(row, ends[0, b], counts[0, b], room[0, b, filled[0, b] :], row.ctypes.data)
            filled[0, b] += kept
        zeros[0] += none
    return True
"""

TAILS = '''"""How most merges end, all models in one loop, and variances. Made by `unroll.py`; do not edit.

A tile of task vectors becomes the result, over the tile that held the base. For 1 to 8 models.
"""

# ruff: noqa: E501, D103, ANN001, ANN201, PLR0915, F841
# fmt: off
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import toward, wide

OPTIONS = {"nogil": True, "error_model": "numpy"}
NONE = np.float32(0)
'''

TAIL = """

@njit(**OPTIONS)
def {name}_tail_{k}(T, row, {arguments}scalars):
    wide()
    divisor, factor, small, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    m = row.shape[0]
{unpack}
{open}
{loops}
"""

VARIANCE = """

@njit(**OPTIONS)
def variance_{k}(T, out):
    wide()
    n = out.shape[0]
{open}
    for i in range(n):
{steps}
        out[i] = total / np.float32({k})
"""
