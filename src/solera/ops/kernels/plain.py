"""The block loops in numpy: the same bits as `loops`, where that cannot run."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels.formats import first_nonfinite, narrow, widen
from solera.ops.kernels.plain_rows import drop_by_rank, importance, keep_row_band
from solera.ops.kernels.program import Code, Ending, Ends, Inputs, Packed
from solera.ops.kernels.recipe import Of
from solera.ops.kernels.tree import cell_sums
from solera.types import DType

Values = NDArray[Any]
"""(models, elements), float32."""

ONE, NONE = np.float32(1), np.float32(0)


def write(
    inputs: Inputs, ops: Packed, ends: Ends, start: int, target: NDArray[Any], dtype: DType, known: Values
) -> int:
    """Merge one block. Returns 0; or 1 for an input that is not finite, 2 for a result that does not fit.

    Cost: one temporary of float32 per operand and some more; give it blocks, not tensors.
    """
    loaded = _load(inputs)
    if loaded is None:
        return 1
    values, base = loaded
    with np.errstate(all="ignore"):
        result = _reduced(_run(values, ops, start), ends, ops.row, known)
        divisor, factor = ends.scalars[:2]
        result = (result / divisor) * factor
        target[:] = narrow(result if base is None else base + result, dtype)
    return 2 if dtype is DType.F16 and first_nonfinite(target, dtype) >= 0 else 0


def count(inputs: Inputs, ops: Packed, start: int, of: int, known: Values, upper: Any, zeros: Any) -> bool:
    """Histogram of magnitudes; see `loops.count`."""
    rows = _stream(inputs, ops, start)
    if rows is None:
        return False
    for k, bits in enumerate(_sizes(_derived(rows, of, known))):
        upper[k, 0] += np.bincount(bits >> 16, minlength=upper.shape[-1]).astype(np.uint32)
        zeros[k] += int((bits == 0).sum())
    return True


def gather(inputs: Inputs, ops: Packed, start: int, of: int, known: Values, found: Any) -> bool:
    """The magnitudes' bits; see `loops.gather`."""
    rows = _stream(inputs, ops, start)
    if rows is None:
        return False
    found[:] = _sizes(_derived(rows, of, known))
    return True


def count_bracket(
    inputs: Inputs,
    ops: Packed,
    start: int,
    of: int,
    known: Values,
    ends: Any,
    counts: Any,
    zeros: Any,
    room: Any,
    filled: Any,
) -> bool:
    """What lies between `ends`, below and at them; see `loops.count_bracket`."""
    rows = _stream(inputs, ops, start)
    if rows is None:
        return False
    for k, bits in enumerate(_sizes(_derived(rows, of, known))):
        zeros[k] += int((bits == 0).sum())
        for b, (low, high) in enumerate(ends[k]):
            kept = bits[(bits > low) & (bits < high)]
            counts[k, b] += ((bits < low).sum(), (bits == low).sum(), (bits == high).sum() if high > low else 0)
            room[k, b, filled[k, b] : filled[k, b] + kept.size] = kept
            filled[k, b] += kept.size
    return True


def count_inside(
    inputs: Inputs, ops: Packed, start: int, of: int, known: Values, rows: Any, buckets: Any, tables: Any
) -> bool:
    """Histogram inside selected buckets; see `loops.count_inside`."""
    stream = _stream(inputs, ops, start)
    if stream is None:
        return False
    sizes = _sizes(_derived(stream, of, known))
    for r, (row, bucket) in enumerate(zip(rows, buckets, strict=True)):
        bits = sizes[row]
        tables[r] += np.bincount(bits[bits >> 16 == bucket] & 0xFFFF, minlength=65_536)
    return True


def sums(inputs: Inputs, ops: Packed, start: int, stops: Any, kind: int, found: Any, masks: Any) -> bool:  # noqa: ARG001
    """Sums by cells; see `loops.sums`. Notes no masks: what writes here runs all operations again."""
    loaded = _load(inputs)
    if loaded is None:
        return False
    values, done = loaded[0], 0
    for s, stop in enumerate(stops):
        values, done = _run(values, ops, start, done, stop), stop
        if kind == 0:
            found[s] = cell_sums(np.abs(values).astype(np.float64), ops.row)
            continue
        wide = values.astype(np.float64)
        pairs = combinations_with_replacement(wide, 2) if kind == 1 else zip(wide, wide, strict=True)
        for row, (left, right) in enumerate(pairs):
            found[s, row] = cell_sums(left * right, ops.row)
    return True


def ballot(inputs: Inputs, ops: Packed, start: int, by_count: bool, found: Any) -> bool:
    """Count entries that elect plus and minus."""
    rows = _stream(inputs, ops, start)
    if rows is None:
        return False
    elected = _votes(rows, by_count)
    found += [int((elected > 0).sum()), int((elected < 0).sum())]
    return True


def changed(inputs: Inputs, ops: Packed, start: int, epsilon: Any, found: Any) -> bool:
    """Count entries that each model changed with others and alone."""
    rows = _stream(inputs, ops, start)
    if rows is None:
        return False
    mine = np.abs(rows) > np.float32(epsilon)
    sharing = mine.sum(0)
    found += [(mine & (sharing > 1)).sum(1), (mine & (sharing == 1)).sum(1)]
    return True


def variance(values: Values) -> Values:
    """Population variance over models by Welford's recurrence."""
    mean, squares = values[0], np.zeros_like(values[0])
    with np.errstate(all="ignore"):
        for n, value in enumerate(values[1:], start=2):
            offset = value - mean
            mean = mean + offset / np.float32(n)
            squares = squares + offset * (value - mean)
    found: Values = squares / np.float32(len(values))
    return found


def _derived(rows: Values, of: int, known: Values) -> Values:
    """What is ranked: the models, the variance over models, or the importance."""
    if of == Of.MODELS:
        return rows
    derived = variance(rows) if of == Of.VARIANCE else importance(rows[0], rows[1], known)
    return derived[None]


def _load(inputs: Inputs) -> tuple[Values, Values | None] | None:
    """The stream and the base; None where something is not finite."""
    pairs = list(zip(inputs.bits, inputs.dtypes, strict=True))
    if any(first_nonfinite(*pair) >= 0 for pair in pairs):
        return None
    rows = [widen(*pair) for pair in pairs]
    with np.errstate(over="ignore"):
        return (np.stack([row - rows[0] for row in rows[1:]]), rows[0]) if inputs.delta else (np.stack(rows), None)


def _stream(inputs: Inputs, ops: Packed, start: int) -> Values | None:
    loaded = _load(inputs)
    return None if loaded is None else _run(loaded[0], ops, start)


def _sizes(rows: Values) -> NDArray[np.int32]:
    return np.ascontiguousarray(np.abs(rows)).view(np.int32)


def _run(values: Values, ops: Packed, start: int, first: int = 0, last: int | None = None) -> Values:
    with np.errstate(all="ignore"):
        for o in range(len(ops.codes))[first:last]:
            low, high, keys, bars = (table[o][:, None] for table in (ops.low, ops.high, ops.keys, ops.bars))
            if ops.codes[o] == Code.ROW_BAND:
                values = keep_row_band(values, ops.wide[o], ops.row)
            elif ops.codes[o] == Code.ROW_DROP:
                drawn = _draws(keys, start, values.shape[1])
                values = drop_by_rank(values, ops.wide[o], drawn, ops.row)
            else:
                values = _apply(values, int(ops.codes[o]), low, high, keys, bars, start)
    return values


def _apply(values: Values, code: int, low: Any, high: Any, keys: Any, bars: Any, start: int) -> Values:
    if code == Code.SCALE:
        scaled: Values = values * low
        return scaled
    if code == Code.KEEP:
        size = np.abs(values)
        return np.where((size >= low) & (size <= high), values, NONE)
    if code == Code.DROP:
        dropped: Values = np.where(_draws(keys, start, values.shape[1]) < bars, values, NONE) / low
        return dropped
    if code == Code.SELECT:
        return np.where(variance(values) >= low[0], values, NONE)
    elected = np.sign(_votes(values, bool(low[0, 0])))
    elected = np.where(elected == 0, high[0], elected)
    return np.where(np.sign(values) * elected > 0, values, NONE)


def _draws(keys: Any, start: int, n: int) -> NDArray[np.uint64]:
    index = np.arange(start + 1, start + n + 1, dtype=np.uint64)
    mixed = index * np.uint64(0x9E3779B97F4A7C15) + keys
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn: NDArray[np.uint64] = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)
    return drawn


def _votes(values: Values, by_count: bool) -> Values:
    return _total(np.sign(values) if by_count else values)


def _total(rows: Any) -> Values:
    result: Values = rows[0]
    for row in rows[1:]:
        result = result + row
    return result


def _reduced(values: Values, ends: Ends, row: int, known: Values) -> Values:
    _, _, small, instead = ends.scalars
    shares, later = ends.shares[: len(values), None], ends.later[: len(values), None]
    if ends.ending == Ending.BY_ROW:
        factors = np.repeat(ends.shares.reshape(-1, len(values)), row, 0).T
        return _total(values * factors)
    if ends.ending == Ending.TOTAL:
        return _total(values)
    if ends.ending == Ending.WEIGHTED:
        return _total(values * shares)
    if ends.ending == Ending.DISJOINT:
        divisor = _total((values != 0).astype(np.float32) * shares)
        return _total(values * later) / np.where(np.abs(divisor) <= small, instead, divisor)
    if ends.ending == Ending.CHANGED:
        taking = (np.abs(values) > small).astype(np.float32)
        sharing, kept = _total(taking), values * taking
        kept = np.where(sharing == 1, kept * shares, kept) if instead > 0 else kept
        return _total(kept) / np.maximum(sharing, ONE)
    return _moved(values[0], values[1], ends, known)


def _moved(base: Values, x: Values, ends: Ends, known: Values) -> Values:
    """From the base towards the model."""
    t = ends.scalars[2]
    if ends.ending == Ending.IMPORTANT:
        taken: Values = base + np.where(importance(base, x, known) >= t, x - base, NONE)
        return taken
    near = np.minimum((ONE / np.maximum(np.abs(base - x), np.float32(1e-6))) * t, ONE)
    merged: Values = near * x + (ONE - near) * base
    return merged
