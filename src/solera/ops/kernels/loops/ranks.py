"""Ranks of magnitudes inside a row, without comparing: radix sorting, and counting for single ranks.

The bits of a non-negative float32, read as an integer, grow with the number. Equal magnitudes are ranked by position.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import OPTIONS, bits_of, wide

DIGIT = 11
"""Bits that one pass sorts by."""

DIGITS = 1 << DIGIT
FEW = 24
"""Numbers that are put in order by insertion."""


@njit(**OPTIONS)
def magnitudes(row, sizes):
    """The bits of all magnitudes; returns how many bits the largest has."""
    joined = np.int32(0)
    for i in range(row.shape[0]):
        size = bits_of(row[i]) & np.int32(0x7FFFFFFF)
        sizes[i] = size
        joined |= size
    width = 0
    while joined >> width > 0:
        width += 1
    return width


@njit(**OPTIONS)
def order(sizes, a, b, places, counts):
    """Sort (magnitude, position), packed in 64 bits, by magnitude, then position; returns the buffer that holds it.

    One pass puts them into about two buckets per entry. What shares a bucket and is out of order is mostly rare, and
    moved by insertion; else a second try sorts by the bits below the bucket first, and the last one by all bits.
    """
    n = sizes.shape[0]
    if n <= 2 * FEW:
        pack(sizes, a)
        settle(a, n * n)
        return a
    shift = assign(sizes, places)
    starts(places, counts)
    if not crowded(counts, n):
        scatter(sizes, a, places, counts)
        if settle(a, 4 * n):
            return a
        sort_below(sizes, shift, a, b, counts)
        starts(places, counts)
        scatter_again(b, a, places, counts)
        if settle(a, 4 * n):
            return a
    pack(sizes, a)
    pass_by(a, b, 32, counts)
    pass_by(b, a, 32 + DIGIT, counts)
    pass_by(a, b, 32 + 2 * DIGIT, counts)
    return b


@njit(**OPTIONS)
def crowded(counts, n):
    """Whether the buckets at either end, which are wide, hold too many for insertion."""
    low, high = np.int64(counts[2]) - np.int64(counts[1]), n - np.int64(counts[counts.shape[0] - 1])
    return low * low + high * high > 16 * n


@njit(**OPTIONS)
def scatter(sizes, target, places, counts):
    """Put (magnitude, position) into the buckets, in order of position."""
    for i in range(sizes.shape[0]):
        place = np.uint32(places[i])
        target[counts[place]] = (np.uint64(sizes[i]) << np.uint64(32)) | np.uint64(i)
        counts[place] += np.uint32(1)


@njit(**OPTIONS)
def scatter_again(source, target, places, counts):
    """Put what is packed into the buckets, in its order."""
    for i in range(source.shape[0]):
        place = np.uint32(places[source[i] & np.uint64(0xFFFFFFFF)])
        target[counts[place]] = source[i]
        counts[place] += np.uint32(1)


@njit(**OPTIONS)
def pack(sizes, packed):
    """Magnitude and position in 64 bits."""
    for i in range(sizes.shape[0]):
        packed[i] = (np.uint64(sizes[i]) << np.uint64(32)) | np.uint64(i)


@njit(**OPTIONS)
def bits_for(n):
    """Bits of a bucket's number for rows of n: about two buckets per entry."""
    bits = DIGIT
    while bits < 15 and (1 << bits) < 2 * n:
        bits += 1
    return bits


@njit(**OPTIONS)
def assign(sizes, places):
    """Buckets that grow with the magnitude over sixteen octaves around the middle; zeros have one of their own.

    The middle is the mean of the bits of what is not zero, which is near the mean of their logarithms. Returns how many
    bits of the magnitude a bucket leaves open.
    """
    wide()
    n = sizes.shape[0]
    bits = bits_for(n)
    whole, filled = np.int64(0), np.int64(0)
    for i in range(n):
        whole += np.int64(sizes[i])
        filled += np.int64(sizes[i] != 0)
    shift, last = np.int32(27 - bits), np.int32((1 << bits) - 1)
    middle = np.int32(whole // filled) if filled > 0 else np.int32(0)
    first = ((middle >> shift) << shift) - np.int32(9 << 23)
    for i in range(n):
        place = min(max((sizes[i] - first) >> shift, np.int32(1)), last)
        places[i] = place if sizes[i] != 0 else np.int32(0)
    return shift


@njit(**OPTIONS)
def starts(places, counts):
    """Where every bucket begins."""
    counts[:] = 0
    for i in range(places.shape[0]):
        counts[np.uint32(places[i])] += np.uint32(1)
    below = np.uint32(0)
    for d in range(counts.shape[0]):
        below, counts[d] = below + counts[d], below


@njit(**OPTIONS)
def sort_below(sizes, shift, a, b, counts):
    """Sort by the bits below the buckets into b: first those that have none, as stored bfloat16 mostly gives."""
    mask = np.int32((1 << shift) - 1)
    even, odd = 0, 0
    for i in range(sizes.shape[0]):
        packed = (np.uint64(sizes[i]) << np.uint64(32)) | np.uint64(i)
        b[even], a[odd] = packed, packed
        none = 1 if sizes[i] & mask == 0 else 0
        even, odd = even + none, odd + 1 - none
    rest = b[even:]
    pass_by(a[:odd], rest, 32, counts)
    pass_by(rest, a[:odd], 32 + DIGIT, counts)
    rest[:] = a[:odd]


@njit(**OPTIONS)
def pass_by(source, target, shift, counts):
    """Sort by the digit that begins at a bit; what is equal there stays in order."""
    counts[:DIGITS] = 0
    mask, places = np.uint64(DIGITS - 1), np.uint64(shift)
    for i in range(source.shape[0]):
        counts[(source[i] >> places) & mask] += np.uint32(1)
    below = np.uint32(0)
    for d in range(DIGITS):
        below, counts[d] = below + counts[d], below
    for i in range(source.shape[0]):
        digit = (source[i] >> places) & mask
        target[counts[digit]] = source[i]
        counts[digit] += np.uint32(1)


@njit(**OPTIONS)
def settle(values, most):
    """Put in order what is nearly so by insertion; False, with all values still there, after `most` moves."""
    moves = 0
    for i in range(1, values.shape[0]):
        if values[i] < values[i - 1]:
            value, place = values[i], i
            while place > 0 and values[place - 1] > value:
                values[place] = values[place - 1]
                place -= 1
            values[place] = value
            moves += i - place
            if moves > most:
                return False
    return True


@njit(**OPTIONS)
def drop_by_rank(values, row, start, key, slope, offset, inverse):
    """Zero what is not drawn; an entry of rank r stays with probability slope * r + offset."""
    sizes, places, ranks = np.empty(row, np.int32), np.empty(row, np.int32), np.zeros(row, np.int32)
    a, b, counts = np.empty(row, np.uint64), np.empty(row, np.uint64), np.empty(1 << bits_for(row), np.uint32)
    for begin in range(0, values.shape[0], row):
        part = values[begin : begin + row]
        if slope != 0:
            magnitudes(part, sizes)
            ordered = order(sizes, a, b, places, counts)
            for r in range(row):
                ranks[ordered[r] & np.uint64(0xFFFFFFFF)] = r
        thin(part, ranks, start + begin, key, slope, offset, inverse)


@njit(**OPTIONS)
def thin(part, ranks, start, key, slope, offset, inverse):
    """Draw for every entry of a row."""
    wide()
    first = np.uint64(start + 1) * np.uint64(0x9E3779B97F4A7C15) + key
    for i in range(part.shape[0]):
        share = np.float64(ranks[i]) * slope + offset
        mixed = first + np.uint64(i) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        drawn = np.int64((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11))
        keep = drawn < np.int64(share * 9007199254740992.0)
        kept = part[i] if keep else np.float32(0)
        part[i] = np.float32(np.float64(kept) / (share if keep else 1.0)) if inverse else kept


@njit(**OPTIONS)
def keep_row_band(values, row, bottom, top):
    """Zero what is not between the magnitudes of two ranks of its row; all of it where they cross."""
    sizes, spare = np.empty(row, np.int32), np.empty(row, np.int32)
    counts, fine = np.empty(DIGITS, np.uint32), np.empty(DIGITS, np.uint32)
    for begin in range(0, values.shape[0], row):
        part = values[begin : begin + row]
        if bottom > top:
            part[:] = np.float32(0)
            continue
        shift = max(magnitudes(part, sizes) - DIGIT, 0)
        tally_digit(sizes, shift, counts)
        low = at_rank(sizes, counts, shift, np.int64(bottom), spare, fine)
        high = at_rank(sizes, counts, shift, np.int64(top), spare, fine)
        for i in range(row):
            part[i] = part[i] if (sizes[i] >= low) & (sizes[i] <= high) else np.float32(0)


@njit(**OPTIONS)
def tally_digit(sizes, shift, counts):
    """Count by the digit that begins at a bit."""
    counts[:] = 0
    for i in range(sizes.shape[0]):
        counts[(sizes[i] >> shift) & (DIGITS - 1)] += np.uint32(1)


@njit(**OPTIONS)
def at_rank(sizes, counts, shift, rank, spare, fine):
    """The number at a rank, by its digits from the highest down; `counts` are those of the first digit."""
    source, left = sizes, sizes.shape[0]
    while True:
        digit, reached = DIGITS, left
        while reached > rank:
            digit -= 1
            reached -= np.int64(counts[digit])
        found = 0
        for i in range(left):
            value = source[i]
            spare[found] = value
            found += 1 if ((value >> shift) & (DIGITS - 1)) == digit else 0
        source, left, rank = spare, found, rank - reached
        if shift == 0:
            return spare[0]
        if left <= FEW:
            settle(spare[:left], FEW * FEW)
            return spare[rank]
        shift = max(shift - DIGIT, 0)
        tally_digit(spare[:left], shift, fine)
        counts = fine
