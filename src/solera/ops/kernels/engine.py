"""Chooses between the compiled loops and the numpy ones, and hands them their arguments."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels import plain
from solera.ops.kernels.formats import FORMATS, OUTPUTS
from solera.ops.kernels.native import Given, Loops, kept_in
from solera.ops.kernels.program import NOWHERE, UNSEEN, Code, Divergences, Ending, Ends, Inputs, Kept, Packed
from solera.ops.kernels.recipe import Of
from solera.types import DType

MOST = 8
"""Most models that the unrolled loops take."""

SWITCH = "SOLERA_COMPILED"
"""Environment variable: ``0`` keeps to numpy."""


@cache
def compiled() -> Loops | None:
    """The compiled loops; None where numba is missing or switched off."""
    if os.environ.get(SWITCH) == "0" or find_spec("numba") is None:
        return None
    return Loops(kept_in())


@dataclass(frozen=True, slots=True)
class Unrolled:
    """A program that one loop over all models can run: `name`, and what it takes beside the models."""

    name: str
    given: Given


def unrolled_form(ops: Packed, ends: Ends, *, delta: bool) -> Unrolled | None:
    """The one loop that does what the program does, if there is one."""
    codes = tuple(ops.codes)
    if not codes and ends.ending == Ending.WEIGHTED:
        return Unrolled("add", Given((ends.shares, ends.scalars)))
    return _form_of_changes(codes, ops, ends) if delta else None


def _form_of_changes(codes: tuple[int, ...], ops: Packed, ends: Ends) -> Unrolled | None:
    """The same for models less a base."""
    if not codes and ends.ending == Ending.CHANGED:
        return Unrolled("changed", Given((ends.shares, bool(ends.scalars[3] != 0), ends.scalars)))
    if codes == (Code.KEEP,) and ends.ending == Ending.WEIGHTED:
        return Unrolled("band", Given((ops.low[0], ops.high[0], ends.shares, ends.scalars)))
    if codes == (Code.SELECT, Code.ELECT, Code.SCALE):
        return _form_of_choice(ops, ends)
    trimmed = codes[:1] == (Code.KEEP,)
    if codes[int(trimmed) :] != (Code.SCALE, Code.ELECT):
        return None
    if ops.low[-1, 0] != 0 or ends.ending not in (Ending.DISJOINT, Ending.TOTAL) or (ends.later != 1).any():
        return None
    low, high = (
        (ops.low[0], ops.high[0]) if trimmed else np.array([[0], [np.inf]], np.float32).repeat(ops.low.shape[1], 1)
    )
    divide = ends.ending == Ending.DISJOINT
    return Unrolled("elect", Given((low, high, ops.low[-2], ends.shares, ops.high[-1, 0], divide, ends.scalars)))


def _form_of_choice(ops: Packed, ends: Ends) -> Unrolled | None:
    """The same where entries are chosen by how they vary."""
    if ops.low[1, 0] != 0 or ends.ending != Ending.DISJOINT or (ends.later != 1).any() or ends.scalars[0] != 1:
        return None
    return Unrolled("choose", Given((ops.low[2], ends.shares, ops.low[0, 0], ops.high[1, 0], ends.scalars)))


def _write_unrolled(fast: Loops, form: Unrolled, inputs: Inputs, target: NDArray[Any], dtype: DType) -> int:
    out = (target.ctypes.data, OUTPUTS[dtype], target.itemsize)
    return fast(f"{form.name}_{inputs.models}", inputs.elements, _reading(inputs), form.given, *out)


def write(
    inputs: Inputs,
    ops: Packed,
    ends: Ends,
    start: int,
    target: NDArray[Any],
    dtype: DType,
    unrolled: Unrolled | None = None,
    kept: Kept | None = None,
    known: Divergences = UNSEEN,
) -> int:
    """Merge one block into `target` (integers of the output type's size), by one loop where there is one for it.

    What is `kept` stands for the first operations; `known` are the divergences of the block's rows.
    Returns 0; or 1 for an input that is not finite, 2 for a result that does not fit float16.
    """
    fast = compiled()
    if fast is None:
        return plain.write(inputs, ops, ends, start, target, dtype, known)
    if unrolled is not None and _brain(inputs):
        code = _write_unrolled(fast, unrolled, inputs, target, dtype)
        if code != 1:  # else the general loop tells what is not finite: an input, or a sum of finite ones
            return code
    out = (target.ctypes.data, OUTPUTS[dtype], target.itemsize)
    noted = (NOWHERE, 0) if kept is None else (kept.masks, len(kept.ops))
    return fast("write", inputs.elements, start, _reading(inputs), ops.arrays, ends.arrays, *noted, known, *out)


def count(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Histogram of magnitudes: rest is (of, known, upper, zeros), changed in place."""
    return _call("count", inputs, ops, start, *rest)


def gather(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """The magnitudes' bits: rest is (of, known, bits), filled."""
    return _call("gather", inputs, ops, start, *rest)


def count_bracket(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """What brackets hold: rest is (of, known, ends, counts, zeros, room, filled), changed in place."""
    fast, name = compiled(), _counter(inputs, ops, rest[0])
    if fast is None or name is None:
        return _call("count_bracket", inputs, ops, start, *rest)
    return bool(fast(name, inputs.elements, _reading(inputs), *rest[2:]))


def count_inside(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Histogram inside buckets: rest is (of, known, rows, buckets, tables), changed in place."""
    return _call("count_inside", inputs, ops, start, *rest)


def sums(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Sums by cells: rest is (stops, kind, found, masks), changed in place."""
    return _call("sums", inputs, ops, start, *rest)


def ballot(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Elected signs: rest is (by_count, found), changed in place."""
    return _call("ballot", inputs, ops, start, *rest)


def changed(inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    """Changed entries: rest is (epsilon, found), changed in place."""
    return _call("changed", inputs, ops, start, *rest)


def _counter(inputs: Inputs, ops: Packed, of: int) -> str | None:
    """The loop that counts bfloat16 models less a base, or their variances, where no operation comes before."""
    if not inputs.delta or ops.codes.size or any(d is not DType.BF16 for d in inputs.dtypes[1:]):
        return None
    if of == Of.VARIANCE and inputs.models <= MOST:
        return f"count_spread_{inputs.models}"
    return "count_changes" if of == Of.MODELS else None


def _brain(inputs: Inputs) -> bool:
    """Whether the unrolled loops take these operands."""
    return inputs.models <= MOST and all(d is DType.BF16 for d in inputs.dtypes)


def _call(name: str, inputs: Inputs, ops: Packed, start: int, *rest: Any) -> bool:
    fast = compiled()
    if fast is None:
        return bool(getattr(plain, name)(inputs, ops, start, *rest))
    return bool(fast(name, inputs.elements, start, _reading(inputs), ops.arrays, *rest))


_own = threading.local()


def _reading(inputs: Inputs) -> Given:
    """Where the operands are, and how their types are read; good until this thread's next block."""
    readings: dict[Any, Given] = _own.__dict__
    key = inputs.dtypes, inputs.delta
    if key not in readings:
        readings[key] = Given((np.empty(len(inputs.bits), np.int64), *_forms(inputs.dtypes), inputs.delta))
    readings[key][0][:] = [bits.ctypes.data for bits in inputs.bits]
    return readings[key]


def _forms(dtypes: tuple[DType, ...]) -> tuple[NDArray[Any], ...]:
    forms = [FORMATS[dtype] for dtype in dtypes]
    return (
        np.array([form.kind for form in forms], np.int64),
        np.array([np.dtype(form.storage).itemsize for form in forms], np.int64),
        np.array([form.numbers for form in forms], np.int32),
        np.array([form.least for form in forms], np.float32),
    )
