"""Ranks of magnitudes inside a row, without sorting: all of them by counting once, a single one digit by digit.

The bits of a non-negative float32, read as an integer, grow with the number.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.memory import allocate, release
from solera.ops.kernels.loops.numbers import GOLDEN, OPTIONS, bits_of, drawn, pointer_4, pointer_4u, pointer_8, wide

DIGIT = 11
"""Bits that one pass sorts by."""

DIGITS = 1 << DIGIT
COARSE = 1 << 15
"""Magnitudes that bfloat16 tells apart."""

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
def rank(part, sizes, keys, ranks, counts):
    """The rank of every magnitude as bfloat16 cuts it off; what is equal then is ranked by position.

    One count and one look-up per entry: `counts` holds a place for every such magnitude between the least that is not
    zero and the largest.
    """
    most, least = coarse(part, keys)
    if part.shape[0] <= 2 * FEW:
        rank_few(keys, sizes, ranks)
        return
    used = counts[: most - least + 2]
    used[:] = 0
    for i in range(keys.shape[0]):
        keys[i] = max(keys[i] - least + np.int32(1), np.int32(0))
        used[np.uint32(keys[i])] += np.int32(1)
    below = np.int32(0)
    for place in range(used.shape[0]):
        below, used[place] = below + used[place], below
    for i in range(keys.shape[0]):
        own = np.uint32(keys[i])
        ranks[i] = used[own]
        used[own] += np.int32(1)


@njit(**OPTIONS)
def coarse(part, keys):
    """The upper 15 bits of all magnitudes; returns the largest, and the least that is not zero."""
    wide()
    most, least = np.int32(0), np.int32(COARSE - 1)
    for i in range(part.shape[0]):
        key = (bits_of(part[i]) & np.int32(0x7FFFFFFF)) >> np.int32(16)
        keys[i] = key
        most = max(most, key)
        least = min(least, key if key != 0 else np.int32(COARSE - 1))
    return most, min(least, most)


@njit(**OPTIONS)
def rank_few(keys, packed, ranks):
    """Ranks in a short row: insertion puts magnitude and position, packed, in order."""
    n = keys.shape[0]
    for i in range(n):
        packed[i] = (np.int64(keys[i]) << np.int64(32)) | np.int64(i)
    settle(packed[:n], n * n)
    for r in range(n):
        ranks[packed[r] & np.int64(0xFFFFFFFF)] = r


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
    own = allocate(16 * FEW + 8 * row + 4 * (COARSE + 1))
    few, after = carray(pointer_8(own), (2 * FEW,)), own + 16 * FEW
    keys, ranks = carray(pointer_4(after), (row,)), carray(pointer_4(after + 4 * row), (row,))
    counts = carray(pointer_4(after + 8 * row), (COARSE + 1,))
    ranks[:] = 0
    for begin in range(0, values.shape[0], row):
        part = values[begin : begin + row]
        if slope != 0:
            rank(part, few, keys, ranks, counts)
        thin(part, ranks, start + begin, key, slope, offset, inverse)
    release(own)


@njit(**OPTIONS)
def thin(part, ranks, start, key, slope, offset, inverse):
    """Draw for every entry of a row."""
    wide()
    walk = np.uint64(start + 1) * GOLDEN + key
    for i in range(part.shape[0]):
        share = np.float64(ranks[i]) * slope + offset
        keep = np.int64(drawn(walk)) < np.int64(share * 9007199254740992.0)
        walk += GOLDEN
        kept = part[i] if keep else np.float32(0)
        part[i] = np.float32(np.float64(kept) / (share if keep else 1.0)) if inverse else kept


@njit(**OPTIONS)
def keep_row_band(values, row, bottom, top):
    """Zero what is not between the magnitudes of two ranks of its row; all of it where they cross."""
    own = allocate(8 * row + 8 * DIGITS)
    sizes, spare = carray(pointer_4(own), (row,)), carray(pointer_4(own + 4 * row), (row,))
    counts = carray(pointer_4u(own + 8 * row), (DIGITS,))
    fine = carray(pointer_4u(own + 8 * row + 4 * DIGITS), (DIGITS,))
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
    release(own)


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
