"""The block loops, compiled: one pass over tiles that stay in the first-level cache, for any number of models.

Every function takes its operands as addresses with a row of numbers per element type, so that each is compiled once for
all types and model counts, and kept on disk. All arithmetic is in the order of the steps: no reassociation, no fused
multiply-add. `plain` holds the same functions in numpy.
"""

# mypy: disable-error-code="untyped-decorator"
# ruff: noqa: ANN001, ANN201, C901, PLR0912, FBT003, E501

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

TILE = 1024
CELL = 65_536
OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}

_I32, _F32 = ir.IntType(32), ir.FloatType()


def _pointer(kind: Any) -> Any:
    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:  # noqa: ARG001
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), build

    return pointer


pointer_1, pointer_2, pointer_4 = _pointer(types.int8), _pointer(types.int16), _pointer(types.int32)
pointer_f = _pointer(types.float32)


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
def marked(typingctx: Any, bits: Any, mask: Any) -> Any:  # noqa: ARG001
    """1 where all bits of the mask are set, else 0."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        mask_ = builder.trunc(args[1], args[0].type) if signature.args[0].bitwidth < 32 else args[1]
        return builder.zext(builder.icmp_signed("==", builder.and_(args[0], mask_), mask_), _I32)

    return types.int32(bits, types.int32), build


@intrinsic
def bits_of(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """The bits of a float32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], _I32)  # noqa: ARG005


@intrinsic
def float_of(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
    """The float32 of these bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], _F32)  # noqa: ARG005


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
def widen(address, kind, numbers, least, out):  # type: ignore[no-untyped-def]
    """Read one operand's tile as float32; returns whether all of it is finite."""
    n = out.shape[0]
    infinite = numbers[4]
    bad = np.int32(0)
    if kind == 0:
        wide = carray(pointer_4(address), (n,))
        for i in range(n):
            bad |= marked(wide[i], infinite)
            out[i] = float_of(wide[i])
    elif kind == 1:
        brain = carray(pointer_2(address), (n,))
        for i in range(n):
            bad |= marked(brain[i], infinite)
            out[i] = of_brain(brain[i])
    elif kind == 2:
        two = carray(pointer_2(address), (n,))
        for i in range(n):
            bad |= marked(two[i], infinite)
            out[i] = of_narrow(two[i], numbers[0], numbers[1], numbers[2], numbers[3], least)
    else:
        one = carray(pointer_1(address), (n,))
        for i in range(n):
            bad |= marked(one[i], infinite)
            out[i] = of_narrow(one[i], numbers[0], numbers[1], numbers[2], numbers[3], least)
    return bad == 0


@njit(**OPTIONS)
def narrow(values, address, kind):  # type: ignore[no-untyped-def]
    """Write a tile in the output's type; returns whether it fits (float16 may overflow)."""
    n = values.shape[0]
    bad = np.int32(0)
    if kind == 0:
        wide = carray(pointer_f(address), (n,))
        for i in range(n):
            wide[i] = values[i]
    elif kind == 1:
        brain = carray(pointer_2(address), (n,))
        for i in range(n):
            brain[i] = to_brain(values[i])
    else:
        half = carray(pointer_2(address), (n,))
        for i in range(n):
            bits = to_half(values[i])
            bad |= marked(bits, np.int32(0x7C00))
            half[i] = bits
    return bad == 0


@njit(**OPTIONS)
def load(T, base, at, n, addresses, kinds, sizes, numbers, least, delta):  # type: ignore[no-untyped-def]
    """Read elements [at, at + n) of all operands into the rows of T, minus the base where `delta`.

    Operand 0 is the base where `delta`; it stays in `base`. Returns whether all is finite.
    """
    fine = True
    first = 0
    if delta:
        first = 1
        fine &= widen(addresses[0] + at * sizes[0], kinds[0], numbers[0], least[0], base[:n])
    for k in range(T.shape[0]):
        o = first + k
        row = T[k, :n]
        fine &= widen(addresses[o] + at * sizes[o], kinds[o], numbers[o], least[o], row)
        if delta:
            for i in range(n):
                row[i] = row[i] - base[i]
    return fine


@njit(**OPTIONS)
def keep_between(row, low, high):  # type: ignore[no-untyped-def]
    """Zero what is not within [low, high] in magnitude."""
    for i in range(row.shape[0]):
        size = abs(row[i])
        row[i] = row[i] if (size >= low) & (size <= high) else np.float32(0)


@njit(**OPTIONS)
def drop(row, start, key, bar, divisor):  # type: ignore[no-untyped-def]
    """Zero what is not drawn, divide the rest."""
    first = np.uint64(start + 1) * np.uint64(0x9E3779B97F4A7C15) + key
    for i in range(row.shape[0]):
        mixed = first + np.uint64(i) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        drawn = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)
        row[i] = (row[i] if drawn < bar else np.float32(0)) / divisor


@njit(**OPTIONS)
def scale(row, factor):  # type: ignore[no-untyped-def]
    """Multiply by a number."""
    for i in range(row.shape[0]):
        row[i] = row[i] * factor


@njit(**OPTIONS)
def variance(T, n, mean, out):  # type: ignore[no-untyped-def]
    """Population variance over models by Welford's recurrence."""
    for i in range(n):
        mean[i] = T[0, i]
        out[i] = np.float32(0)
    for k in range(1, T.shape[0]):
        row = T[k, :n]
        count = np.float32(k + 1)
        for i in range(n):
            offset = row[i] - mean[i]
            mean[i] = mean[i] + offset / count
            out[i] = out[i] + offset * (row[i] - mean[i])
    models = np.float32(T.shape[0])
    for i in range(n):
        out[i] = out[i] / models


@njit(**OPTIONS)
def votes(T, n, by_count, out):  # type: ignore[no-untyped-def]
    """Sum over models of the values, or of their signs."""
    for k in range(T.shape[0]):
        row = T[k, :n]
        if by_count:
            for i in range(n):
                sign = np.float32(1) if row[i] > 0 else (np.float32(-1) if row[i] < 0 else np.float32(0))
                out[i] = sign if k == 0 else out[i] + sign
        elif k == 0:
            for i in range(n):
                out[i] = row[i]
        else:
            for i in range(n):
                out[i] = out[i] + row[i]


@njit(**OPTIONS)
def elect(T, n, by_count, even, ballot):  # type: ignore[no-untyped-def]
    """Zero what disagrees with the elected sign."""
    votes(T, n, by_count, ballot)
    for i in range(n):
        ballot[i] = even if ballot[i] == 0 else ballot[i]
    for k in range(T.shape[0]):
        row = T[k, :n]
        for i in range(n):
            agrees = ((row[i] > 0) & (ballot[i] > 0)) | ((row[i] < 0) & (ballot[i] < 0))
            row[i] = row[i] if agrees else np.float32(0)


@njit(**OPTIONS)
def run(T, n, start, codes, low, high, keys, bars, one, two):  # type: ignore[no-untyped-def]
    """Apply the operations to a tile in order."""
    for o in range(codes.shape[0]):
        code = codes[o]
        if code == 4:
            variance(T, n, one, two)
            for k in range(T.shape[0]):
                row = T[k, :n]
                for i in range(n):
                    row[i] = row[i] if two[i] >= low[o, 0] else np.float32(0)
        elif code == 5:
            elect(T, n, low[o, 0] > 0, high[o, 0], one)
        else:
            for k in range(T.shape[0]):
                if code == 1:
                    keep_between(T[k, :n], low[o, k], high[o, k])
                elif code == 2:
                    drop(T[k, :n], start, keys[o, k], bars[o, k], low[o, k])
                else:
                    scale(T[k, :n], low[o, k])


@njit(**OPTIONS)
def total(T, n, out):  # type: ignore[no-untyped-def]
    """Sum over models, left to right."""
    for k in range(T.shape[0]):
        row = T[k, :n]
        if k == 0:
            for i in range(n):
                out[i] = row[i]
        else:
            for i in range(n):
                out[i] = out[i] + row[i]


@njit(**OPTIONS)
def weighted_total(T, n, factors, out):  # type: ignore[no-untyped-def]
    """Sum of factor times operand, left to right."""
    for k in range(T.shape[0]):
        row, factor = T[k, :n], factors[k]
        if k == 0:
            for i in range(n):
                out[i] = row[i] * factor
        else:
            for i in range(n):
                out[i] = out[i] + row[i] * factor


@njit(**OPTIONS)
def disjoint(T, n, shares, later, small, instead, out, divisor):  # type: ignore[no-untyped-def]
    """Sum of what is not 0 over the sum of its shares."""
    for k in range(T.shape[0]):
        row, share, factor = T[k, :n], shares[k], later[k]
        none = np.float32(0) * share
        if k == 0:
            for i in range(n):
                out[i] = row[i] * factor
                divisor[i] = share if row[i] != 0 else none
        else:
            for i in range(n):
                out[i] = out[i] + row[i] * factor
                divisor[i] = divisor[i] + (share if row[i] != 0 else none)
    for i in range(n):
        out[i] = out[i] / (instead if abs(divisor[i]) <= small else divisor[i])


@njit(**OPTIONS)
def average_changed(T, n, epsilon, factors, boost, out, sharing):  # type: ignore[no-untyped-def]
    """Average over the models that changed an entry."""
    for i in range(n):
        sharing[i] = np.float32(0)
    for k in range(T.shape[0]):
        row = T[k, :n]
        for i in range(n):
            sharing[i] = sharing[i] + (np.float32(1) if abs(row[i]) > epsilon else np.float32(0))
    for k in range(T.shape[0]):
        row, factor = T[k, :n], factors[k]
        for i in range(n):
            kept = row[i] * (np.float32(1) if abs(row[i]) > epsilon else np.float32(0))
            if boost:
                kept = kept * factor if sharing[i] == 1 else kept
            out[i] = kept if k == 0 else out[i] + kept
    for i in range(n):
        out[i] = out[i] / (sharing[i] if sharing[i] > 1 else np.float32(1))


@njit(**OPTIONS)
def swap_near(base, x, t, out):  # type: ignore[no-untyped-def]
    """Interpolate from the base by closeness."""
    for i in range(out.shape[0]):
        size = abs(base[i] - x[i])
        size = max(np.float32(1e-06), size)
        near = (np.float32(1) / size) * t
        near = near if near < 1 else np.float32(1)
        out[i] = near * x[i] + (np.float32(1) - near) * base[i]


@njit(**OPTIONS)
def write(  # type: ignore[no-untyped-def]
    n,
    start,
    addresses,
    kinds,
    sizes,
    numbers,
    least,
    delta,
    codes,
    low,
    high,
    keys,
    bars,
    reduction,
    shares,
    later,
    scalars,
    target,
    target_kind,
    target_size,
):
    """Merge elements [0, n) of a block. Returns 0; or 1 for an input that is not finite, 2 for one that does not fit."""
    models = addresses.shape[0] - (1 if delta else 0)
    T = np.empty((models, TILE), np.float32)
    base, one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    out = np.empty(TILE, np.float32)
    divisor, factor, epsilon, instead = scalars[0], scalars[1], scalars[2], scalars[3]
    verdict = 0
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        if not load(T, base, at, m, addresses, kinds, sizes, numbers, least, delta):
            return 1
        run(T, m, start + at, codes, low, high, keys, bars, one, two)
        result = out[:m]
        if reduction == 1:
            total(T, m, result)
        elif reduction == 2:
            weighted_total(T, m, shares, result)
        elif reduction == 3:
            disjoint(T, m, shares, later, epsilon, instead, result, one)
        elif reduction == 4:
            average_changed(T, m, epsilon, shares, instead > 0, result, one)
        else:
            swap_near(T[0, :m], T[1, :m], epsilon, result)
        if divisor != 1:
            for i in range(m):
                result[i] = result[i] / divisor
        if factor != 1:
            scale(result, factor)
        if delta:
            for i in range(m):
                result[i] = base[i] + result[i]
        if not narrow(result, target + at * target_size, target_kind):
            verdict = 2
    return verdict


@njit(**OPTIONS)
def prepare(  # type: ignore[no-untyped-def]
    T, base, one, two, at, m, start, addresses, kinds, sizes, numbers, least, delta, codes, low, high, keys, bars
):
    """A tile of the stream as it reaches a step."""
    fine = load(T, base, at, m, addresses, kinds, sizes, numbers, least, delta)
    if fine:
        run(T, m, start + at, codes, low, high, keys, bars, one, two)
    return fine


@njit(**OPTIONS)
def tally(row, places, upper, zeros):  # type: ignore[no-untyped-def]
    """Count a row by the upper bits of its magnitudes.

    Neighbours are counted in tables of their own: equal numbers often stand together, and each would wait for the last.
    """
    n = row.shape[0]
    none = np.int32(0)
    for i in range(n):
        size = bits_of(row[i]) & np.int32(0x7FFFFFFF)
        places[i] = np.uint16(np.uint32(size) >> np.uint32(16))
        none += np.int32(1) if row[i] == 0 else np.int32(0)
    zeros[0] += none
    even, odd = upper[0], upper[1]
    for i in range(n // 2):
        even[places[2 * i]] += np.uint32(1)
        odd[places[2 * i + 1]] += np.uint32(1)
    if n % 2:
        even[places[n - 1]] += np.uint32(1)


@njit(**OPTIONS)
def bracketed(row, sizes, words, flags, first, below, lower):  # type: ignore[no-untyped-def]
    """Count exactly what falls into the buckets [first, first + len(lower)), and how much lies below them.

    Few numbers fall in, so eight at a time are looked at together (`flags` are the bytes of `words`) and mostly passed.
    """
    n = row.shape[0]
    start = np.int32(first) << np.int32(16)
    width = np.uint32(lower.shape[0]) << np.uint32(16)
    under = np.int32(0)
    for i in range(n):
        size = bits_of(row[i]) & np.int32(0x7FFFFFFF)
        sizes[i] = size
        under += np.int32(1) if size < start else np.int32(0)
        flags[i] = np.uint8(1) if np.uint32(np.uint32(size) - np.uint32(start)) < width else np.uint8(0)
    below[0] += under
    for at in range(n // 8):
        if words[at] != 0:
            for i in range(8 * at, 8 * at + 8):
                if flags[np.uint64(i)] != 0:
                    size = np.uint32(sizes[np.uint64(i)]) - np.uint32(start)
                    lower[size >> np.uint32(16), size & np.uint32(0xFFFF)] += 1
    if n % 8:
        inside(sizes[n // 8 * 8 : n], first, lower)


@njit(**OPTIONS)
def inside(sizes, first, lower):  # type: ignore[no-untyped-def]
    """Count by lower bits what falls into the buckets [first, first + len(lower))."""
    width = np.uint32(lower.shape[0])
    for i in range(sizes.shape[0]):
        place = np.uint32((sizes[i] >> np.int32(16)) - np.int32(first))
        if place < width:
            lower[place, np.uint32(sizes[i]) & np.uint32(0xFFFF)] += 1


@njit(**OPTIONS)
def count(  # type: ignore[no-untyped-def]
    n,
    start,
    addresses,
    kinds,
    sizes,
    numbers,
    least,
    delta,
    codes,
    low,
    high,
    keys,
    bars,
    spread,
    upper,
    zeros,
):
    """Histogram of magnitudes, a row per model (or one row of variances); returns whether all input is finite."""
    models = addresses.shape[0] - (1 if delta else 0)
    T = np.empty((models, TILE), np.float32)
    base, one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    places = np.empty(TILE, np.uint16)
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        if not prepare(
            T,
            base,
            one,
            two,
            at,
            m,
            start,
            addresses,
            kinds,
            sizes,
            numbers,
            least,
            delta,
            codes,
            low,
            high,
            keys,
            bars,
        ):
            return False
        if spread:
            variance(T, m, one, two)
            tally(two[:m], places, upper[0], zeros[0:1])
        else:
            for k in range(models):
                tally(T[k, :m], places, upper[k], zeros[k : k + 1])
    return True


@njit(**OPTIONS)
def count_bracket(  # type: ignore[no-untyped-def]
    n,
    start,
    addresses,
    kinds,
    sizes,
    numbers,
    least,
    delta,
    codes,
    low,
    high,
    keys,
    bars,
    spread,
    firsts,
    below,
    zeros,
    lower,
):
    """Exact counts inside brackets (rows, brackets) and numbers below them; returns whether all input is finite."""
    models = addresses.shape[0] - (1 if delta else 0)
    T = np.empty((models, TILE), np.float32)
    base, one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    bits, words = np.empty(TILE, np.int32), np.empty(TILE // 8, np.uint64)
    flags = words.view(np.uint8)
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        if not prepare(
            T,
            base,
            one,
            two,
            at,
            m,
            start,
            addresses,
            kinds,
            sizes,
            numbers,
            least,
            delta,
            codes,
            low,
            high,
            keys,
            bars,
        ):
            return False
        if spread:
            variance(T, m, one, two)
        for k in range(firsts.shape[0]):
            row = two[:m] if spread else T[k, :m]
            none = np.int32(0)
            for i in range(m):
                none += np.int32(1) if row[i] == 0 else np.int32(0)
            zeros[k] += none
            for b in range(firsts.shape[1]):
                bracketed(row, bits, words, flags, firsts[k, b], below[k, b : b + 1], lower[k, b])
    return True


@njit(**OPTIONS)
def count_inside(  # type: ignore[no-untyped-def]
    n,
    start,
    addresses,
    kinds,
    sizes,
    numbers,
    least,
    delta,
    codes,
    low,
    high,
    keys,
    bars,
    spread,
    rows,
    buckets,
    tables,
):
    """Histogram by lower bits inside selected (row, bucket) pairs."""
    models = addresses.shape[0] - (1 if delta else 0)
    T = np.empty((models, TILE), np.float32)
    base, one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    bits = np.empty(TILE, np.int32)
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        if not prepare(
            T,
            base,
            one,
            two,
            at,
            m,
            start,
            addresses,
            kinds,
            sizes,
            numbers,
            least,
            delta,
            codes,
            low,
            high,
            keys,
            bars,
        ):
            return False
        if spread:
            variance(T, m, one, two)
        for r in range(rows.shape[0]):
            row = two[:m] if spread else T[rows[r], :m]
            for i in range(m):
                bits[i] = bits_of(row[i]) & np.int32(0x7FFFFFFF)
            inside(bits[:m], buckets[r], tables[r : r + 1])
    return True


@njit(**OPTIONS)
def fold_eight(source, q, target):  # type: ignore[no-untyped-def]
    """Three halvings at once: the second half is added to the first, three times."""
    a, b, c, d = source[:q], source[q : 2 * q], source[2 * q : 3 * q], source[3 * q : 4 * q]
    e, f, g, h = source[4 * q : 5 * q], source[5 * q : 6 * q], source[6 * q : 7 * q], source[7 * q : 8 * q]
    for i in range(q):
        target[i] = ((a[i] + e[i]) + (c[i] + g[i])) + ((b[i] + f[i]) + (d[i] + h[i]))


@njit(**OPTIONS)
def tree(terms, spare, size):  # type: ignore[no-untyped-def]
    """Sum of `size` (a power of two) float64 terms by halving; both buffers are used up."""
    while size >= 8:
        size = size // 8
        fold_eight(terms, size, spare)
        terms, spare = spare, terms
    while size > 1:
        size = size // 2
        for i in range(size):
            terms[i] = terms[i] + terms[i + size]
    return terms[0]


@njit(**OPTIONS)
def tree_of(a, b, products, size, terms, spare):  # type: ignore[no-untyped-def]
    """Sum of magnitudes of a, or of products of a and b, by halving."""
    if size < 8:
        for i in range(size):
            terms[i] = np.float64(a[i]) * np.float64(b[i]) if products else np.float64(abs(a[i]))
        return tree(terms, spare, size)
    q = size // 8
    a0, a1, a2, a3 = a[:q], a[q : 2 * q], a[2 * q : 3 * q], a[3 * q : 4 * q]
    a4, a5, a6, a7 = a[4 * q : 5 * q], a[5 * q : 6 * q], a[6 * q : 7 * q], a[7 * q : 8 * q]
    f = np.float64
    if products:
        b0, b1, b2, b3 = b[:q], b[q : 2 * q], b[2 * q : 3 * q], b[3 * q : 4 * q]
        b4, b5, b6, b7 = b[4 * q : 5 * q], b[5 * q : 6 * q], b[6 * q : 7 * q], b[7 * q : 8 * q]
        for i in range(q):
            terms[i] = ((f(a0[i]) * f(b0[i]) + f(a4[i]) * f(b4[i])) + (f(a2[i]) * f(b2[i]) + f(a6[i]) * f(b6[i]))) + (
                (f(a1[i]) * f(b1[i]) + f(a5[i]) * f(b5[i])) + (f(a3[i]) * f(b3[i]) + f(a7[i]) * f(b7[i]))
            )
    else:
        for i in range(q):
            terms[i] = ((f(abs(a0[i])) + f(abs(a4[i]))) + (f(abs(a2[i])) + f(abs(a6[i])))) + (
                (f(abs(a1[i])) + f(abs(a5[i]))) + (f(abs(a3[i])) + f(abs(a7[i])))
            )
    return tree(terms, spare, q)


@njit(**OPTIONS)
def sums(  # type: ignore[no-untyped-def]
    n,
    start,
    addresses,
    kinds,
    sizes,
    numbers,
    least,
    delta,
    codes,
    low,
    high,
    keys,
    bars,
    stops,
    kind,
    found,
):
    """Sums by cells. kind 0: magnitudes, 1: products of all pairs, 2: squares. `found`: (stages, rows, cells).

    Stage s sees the stream after the first `stops[s]` operations. Returns whether all input is finite.
    """
    models = addresses.shape[0] - (1 if delta else 0)
    stages = stops.shape[0]
    T = np.empty((models, TILE), np.float32)
    cell = np.empty((stages, models, min(CELL, max(8, 2 * n))), np.float32)
    base, one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    terms, spare = np.empty(CELL // 8, np.float64), np.empty(CELL // 8, np.float64)
    for begin in range(0, n, CELL):
        length = min(CELL, n - begin)
        size = 1
        while size < length:
            size = 2 * size
        for at in range(begin, begin + length, TILE):
            m = min(TILE, begin + length - at)
            if not load(T, base, at, m, addresses, kinds, sizes, numbers, least, delta):
                return False
            done = 0
            for s in range(stages):
                stop = stops[s]
                run(
                    T,
                    m,
                    start + at,
                    codes[done:stop],
                    low[done:stop],
                    high[done:stop],
                    keys[done:stop],
                    bars[done:stop],
                    one,
                    two,
                )
                done = stop
                for k in range(models):
                    cell[s, k, at - begin : at - begin + m] = T[k, :m]
        place = begin // CELL
        for s in range(stages):
            cell[s, :, length:size] = np.float32(0)
            row = 0
            for k in range(models):
                a = cell[s, k]
                if kind == 1:
                    for j in range(k, models):
                        found[s, row, place] = tree_of(a, cell[s, j], True, size, terms, spare)
                        row += 1
                else:
                    found[s, k, place] = tree_of(a, a, kind == 2, size, terms, spare)
    return True


@njit(**OPTIONS)
def ballot(  # type: ignore[no-untyped-def]
    n,
    start,
    addresses,
    kinds,
    sizes,
    numbers,
    least,
    delta,
    codes,
    low,
    high,
    keys,
    bars,
    by_count,
    found,
):
    """Count entries that elect plus and minus."""
    models = addresses.shape[0] - (1 if delta else 0)
    T = np.empty((models, TILE), np.float32)
    base, one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        if not prepare(
            T,
            base,
            one,
            two,
            at,
            m,
            start,
            addresses,
            kinds,
            sizes,
            numbers,
            least,
            delta,
            codes,
            low,
            high,
            keys,
            bars,
        ):
            return False
        votes(T, m, by_count, one)
        plus, minus = 0, 0
        for i in range(m):
            plus += 1 if one[i] > 0 else 0
            minus += 1 if one[i] < 0 else 0
        found[0] += plus
        found[1] += minus
    return True


@njit(**OPTIONS)
def changed(  # type: ignore[no-untyped-def]
    n,
    start,
    addresses,
    kinds,
    sizes,
    numbers,
    least,
    delta,
    codes,
    low,
    high,
    keys,
    bars,
    epsilon,
    found,
):
    """Count entries that each model changed with others (row 0 of `found`) and alone (row 1)."""
    models = addresses.shape[0] - (1 if delta else 0)
    T = np.empty((models, TILE), np.float32)
    base, one, two = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        if not prepare(
            T,
            base,
            one,
            two,
            at,
            m,
            start,
            addresses,
            kinds,
            sizes,
            numbers,
            least,
            delta,
            codes,
            low,
            high,
            keys,
            bars,
        ):
            return False
        for i in range(m):
            one[i] = np.float32(0)
        for k in range(models):
            row = T[k, :m]
            for i in range(m):
                one[i] = one[i] + (np.float32(1) if abs(row[i]) > epsilon else np.float32(0))
        for k in range(models):
            row = T[k, :m]
            shared, unique = 0, 0
            for i in range(m):
                mine = abs(row[i]) > epsilon
                shared += 1 if mine & (one[i] > 1) else 0
                unique += 1 if mine & (one[i] == 1) else 0
            found[0, k] += shared
            found[1, k] += unique
    return True
