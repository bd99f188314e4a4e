"""Sketches of a difference between two tensors, a run of blocks at a time: by the compiled loop, or by numpy.

What is counted finely are magnitudes as float32 bits. The table holds at most `limit` different ones; when there are
more, its resolution is halved, bit by bit: so a table at shift 0 is exact, and two tables join at the larger shift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels.engine import compiled
from solera.ops.kernels.formats import FORMATS, first_nonfinite, raw, widen
from solera.types import CELL, DType

COARSE = 512
"""Coarse buckets: the exponent and one bit more, so each is at most 1.5 times as wide as it is far from zero."""
_SLOTS = 4096
_MOST_16, _MOST_32 = 131_072, 16_384


def most_keys(numel: int, narrow: bool) -> int:
    """Different magnitudes that the fine table of a tensor may hold.

    Differences of 16-bit numbers take few values, and fit; those of 32-bit numbers do not, and are kept to about one
    part in a thousand.

    Example:
        >>> most_keys(1 << 20, True), most_keys(1 << 20, False), most_keys(100, False)
        (131072, 4096, 4096)
    """
    return max(4096, min(numel // 8, _MOST_16) if narrow else min(numel // 256, _MOST_32))


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Of a run of blocks: squares of the difference (float64), of the base, largest magnitude, coarse counts."""

    squares: NDArray[np.float64]
    lengths: NDArray[np.float64]
    largest: NDArray[np.float32]
    coarse: NDArray[np.uint32]


@dataclass(slots=True)
class Tally:
    """The fine counts of one tensor: (slots, 2) of key + 1 and count while open; shift, keys used, zeros, limit.

    Example:
        >>> two = np.array([0x3F800000, 0], np.int32), np.array([0x40000000, 0], np.int32)
        >>> tally = Tally(100)
        >>> tally.add(*two, DType.F32, DType.F32).squares.tolist(), tally.zeros, tally.counts()[1].tolist()
        ([1.0], 1, [1, 1])
    """

    limit: int
    block: int = CELL
    table: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((_SLOTS, 2), np.uint32))
    state: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is counted yet."""
        self.state = np.array([0, 0, 0, self.limit], np.int64)

    @property
    def shift(self) -> int:
        """Bits that keys have lost; 0 is exact."""
        return int(self.state[0])

    @property
    def zeros(self) -> int:
        """Elements without a difference."""
        return int(self.state[2])

    def counts(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Keys (magnitude's bits >> shift) in ascending order, and how many elements each has; zeros are counted."""
        used = self.table[self.table[:, 0] != 0]
        used = used[np.argsort(used[:, 0])]
        return used[:, 0] - np.uint32(1), used[:, 1].copy()

    def add(self, base: NDArray[Any], other: NDArray[Any], base_type: DType, other_type: DType) -> Blocks:
        """Count a run of whole blocks (the tensor's last may be short).

        Raises:
            Unusable: an element is not finite.
        """
        stored = raw(base, base_type), raw(other, other_type)
        n, blocks = stored[0].size, -(-stored[0].size // self.block)
        coarse = np.zeros((blocks, COARSE), np.uint32)
        found = Blocks(np.zeros(blocks), np.zeros(blocks), np.zeros(blocks, np.float32), coarse)
        if compiled() is None:
            self._plain(widen(stored[0], base_type), widen(stored[1], other_type), found)
            bad = 1 if first_nonfinite(stored[0], base_type) >= 0 else 2 * (first_nonfinite(stored[1], other_type) >= 0)
        else:
            loops = import_module("solera.ops.kernels.loops.sketching")
            sides = (_side(stored[0], base_type), _side(stored[1], other_type))
            given = (found.squares, found.lengths, found.largest, found.coarse)
            bad, self.table = loops.sketch(n, self.block, *sides, *given, self.table, self.state)
        if bad:
            which, dtype = stored[bad - 1], (base_type, other_type)[bad - 1]
            raise Unusable(int(bad) - 2, first_nonfinite(which, dtype))
        return found

    def _plain(self, base: NDArray[np.float32], other: NDArray[np.float32], found: Blocks) -> None:
        """The same in numpy; sums differ from the loop's by rounding alone."""
        with np.errstate(all="ignore"):
            delta = other - base
        sizes = delta.view(np.uint32) & np.uint32(0x7FFFFFFF)
        self.state[2] += int((sizes == 0).sum())
        for b in range(found.squares.size):
            at = slice(b * self.block, (b + 1) * self.block)
            found.squares[b] = float(np.square(delta[at], dtype=np.float64).sum())
            found.lengths[b] = float(np.square(base[at], dtype=np.float64).sum())
            found.largest[b] = sizes[at].max(initial=0).view(np.float32)
            found.coarse[b] = np.bincount(sizes[at] >> np.uint32(22), minlength=COARSE)
        self._join(sizes)

    def _join(self, sizes: NDArray[np.uint32]) -> None:
        own_keys, own_counts = self.counts()
        new_keys, new_counts = np.unique(sizes >> np.uint32(self.shift), return_counts=True)
        both = np.concatenate([own_keys, new_keys]), np.concatenate([own_counts, new_counts])
        keys, counts = _summed(*both)
        while keys.size > self.limit:
            self.state[0] += 1
            keys, counts = _summed(keys >> np.uint32(1), counts)
        self.state[1] = keys.size
        self.table = np.stack([keys + np.uint32(1), counts.astype(np.uint32)], axis=1)


class Unusable(ValueError):
    """An element that is not finite: `operand` -1 is the base, 0 the other; `index` within what was given."""

    def __init__(self, operand: int, index: int) -> None:
        """Say where it is."""
        super().__init__(operand, index)
        self.operand, self.index = operand, index


def _summed(keys: NDArray[np.uint32], counts: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Equal keys joined, in ascending order."""
    found, where = np.unique(keys, return_inverse=True)
    return found, np.bincount(where, weights=counts, minlength=found.size).astype(np.int64)


def _side(bits: NDArray[Any], dtype: DType) -> tuple[Any, ...]:
    form = FORMATS[dtype]
    return bits.ctypes.data, form.kind, np.array(form.numbers, np.int32), np.float32(form.least), bits.itemsize
