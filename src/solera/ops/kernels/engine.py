"""Chooses between the compiled loops and the numpy ones, and hands them their arguments."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels import plain
from solera.ops.kernels.formats import FORMATS, OUTPUTS
from solera.ops.kernels.program import Ends, Inputs, Packed
from solera.types import DType

SWITCH = "SOLERA_COMPILED"
"""Environment variable: ``0`` keeps to numpy."""


@cache
def compiled() -> Any:
    """The module of compiled loops; None where numba is missing or switched off. Imported at the first call (0.5 s)."""
    if os.environ.get(SWITCH) == "0" or find_spec("numba") is None:
        return None
    from solera.ops.kernels import compiled as module

    return module


def write(inputs: Inputs, ops: Packed, ends: Ends, start: int, target: NDArray[Any], dtype: DType) -> int:
    """Merge one block into `target` (integers of the output type's size).

    Returns 0; or 1 for an input that is not finite, 2 for a result that does not fit float16.
    """
    fast = compiled()
    if fast is None:
        return plain.write(inputs, ops, ends, start, target, dtype)
    result = fast.write(
        *_given(inputs, ops, start),
        ends.ending,
        ends.shares,
        ends.later,
        ends.scalars,
        target.ctypes.data,
        OUTPUTS[dtype],
        target.itemsize,
    )
    return int(result)


def count(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Histogram of magnitudes: rest is (spread, upper, zeros, firsts, lower), changed in place."""
    return _call("count", inputs, ops, start, *rest)


def count_inside(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Histogram inside buckets: rest is (spread, rows, buckets, tables), changed in place."""
    return _call("count_inside", inputs, ops, start, *rest)


def sums(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Sums by cells: rest is (stops, kind, found), changed in place."""
    return _call("sums", inputs, ops, start, *rest)


def ballot(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Elected signs: rest is (by_count, found), changed in place."""
    return _call("ballot", inputs, ops, start, *rest)


def changed(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Changed entries: rest is (epsilon, found), changed in place."""
    return _call("changed", inputs, ops, start, *rest)


def _call(name: str, inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    fast = compiled()
    if fast is None:
        return bool(getattr(plain, name)(inputs, ops, start, *rest))
    return bool(getattr(fast, name)(*_given(inputs, ops, start), *rest))


def _given(inputs: Inputs, ops: Packed, start: int) -> tuple[Any, ...]:
    """The arguments that all compiled loops begin with."""
    addresses = np.array([bits.ctypes.data for bits in inputs.bits], np.int64)
    reading = _reading(inputs.dtypes)
    return inputs.elements, start, addresses, *reading, inputs.delta, ops.codes, ops.low, ops.high, ops.keys, ops.bars


@cache
def _reading(dtypes: tuple[DType, ...]) -> tuple[NDArray[Any], ...]:
    forms = [FORMATS[dtype] for dtype in dtypes]
    return (
        np.array([form.kind for form in forms], np.int64),
        np.array([np.dtype(form.storage).itemsize for form in forms], np.int64),
        np.array([form.numbers for form in forms], np.int32),
        np.array([form.least for form in forms], np.float32),
    )
