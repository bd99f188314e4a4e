"""Ranks of magnitudes inside a row, without comparing: radix sorting, and counting for single ranks.

The bits of a non-negative float32, read as an integer, grow with the number. Equal magnitudes are ranked by position.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import njit

from solera.ops.kernels.loops.numbers import OPTIONS, bits_of

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
def order(sizes, width, a, b, counts):
    """Sort (magnitude, position), packed in 64 bits, by magnitude, then position; returns the buffer that holds it.

    Two passes sort by the upper 22 bits. What is left out of order by the bits below is rare, and moved by insertion;
    where it is not rare, a pass over those bits goes first.
    """
    n, shift = sizes.shape[0], max(width - 2 * DIGIT, 0)
    for i in range(n):
        a[i] = (np.uint64(sizes[i]) << np.uint64(32)) | np.uint64(i)
    if n <= 2 * FEW:
        settle(a, n * n)
        return a
    pass_by(a, b, 32 + shift, counts)
    pass_by(b, a, 32 + shift + DIGIT, counts)
    if shift == 0 or settle(a, 2 * n):
        return a
    for i in range(n):
        b[i] = (np.uint64(sizes[i]) << np.uint64(32)) | np.uint64(i)
    pass_by(b, a, 32, counts)
    pass_by(a, b, 32 + shift, counts)
    pass_by(b, a, 32 + shift + DIGIT, counts)
    return a


@njit(**OPTIONS)
def pass_by(source, target, shift, counts):
    """Sort by the digit that begins at a bit; what is equal there stays in order."""
    counts[:] = 0
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
    sizes, ranks = np.empty(row, np.int32), np.zeros(row, np.int32)
    a, b, counts = np.empty(row, np.uint64), np.empty(row, np.uint64), np.empty(DIGITS, np.uint32)
    for begin in range(0, values.shape[0], row):
        part = values[begin : begin + row]
        if slope != 0:
            ordered = order(sizes, magnitudes(part, sizes), a, b, counts)
            for r in range(row):
                ranks[ordered[r] & np.uint64(0xFFFFFFFF)] = r
        thin(part, ranks, start + begin, key, slope, offset, inverse)


@njit(**OPTIONS)
def thin(part, ranks, start, key, slope, offset, inverse):
    """Draw for every entry of a row."""
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
