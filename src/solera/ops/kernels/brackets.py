"""Brackets: two magnitudes between which a rank is to be found, and what a pass finds below, at and between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bracket = tuple[tuple[tuple[int, int], ...], ...]
"""For every row and rank, the bits of two magnitudes, between which it is to be found."""

Counted = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Distinct numbers in order, and how often each came."""

NOTHING: Counted = (np.empty(0, np.int32), np.empty(0, np.int64))

PENDING, DISTINCT = 1 << 20, 1 << 21
"""Numbers between the ends that are kept before they are counted; distinct ones beyond which a bracket is given up."""


@dataclass(slots=True)
class Bracketed:
    """What brackets hold, for every row and bracket.

    Counts of what lies below, at the lower and at the upper end (where many may be equal); what lies between, as it
    came (`inside`, of which there are `pending`) or counted (`tables`).
    """

    bracket: Bracket
    elements: int = 0
    pending: int = 0
    ends: NDArray[np.int64] = field(init=False)
    counts: NDArray[np.int64] = field(init=False)
    zeros: NDArray[np.int64] = field(init=False)
    inside: list[list[list[NDArray[np.int32]]]] = field(init=False)
    tables: list[list[Counted]] = field(init=False)

    def __post_init__(self) -> None:
        rows, ranks = len(self.bracket), len(self.bracket[0])
        self.ends = np.array(self.bracket, np.int64).reshape(rows, ranks, 2)
        self.counts = np.zeros((rows, ranks, 3), np.int64)
        self.zeros = np.zeros(rows, np.int64)
        self.inside = [[[] for _ in range(ranks)] for _ in range(rows)]
        self.tables = [[NOTHING] * ranks for _ in range(rows)]

    def keep(self, room: NDArray[np.int32], filled: NDArray[np.int64]) -> None:
        """Take what one block put between the ends: room (rows, brackets, elements), the first `filled` of each."""
        for row, lists in enumerate(self.inside):
            for b, found in enumerate(lists):
                found.append(room[row, b, : filled[row, b]].copy())
        self.pending += int(filled.sum())
        if self.pending > PENDING:
            self.pour()

    def pour(self) -> None:
        """Count what came."""
        for row, lists in enumerate(self.inside):
            for b, found in enumerate(lists):
                self.tables[row][b] = joined(self.tables[row][b], counted(found))
                found.clear()
        self.pending = 0

    @property
    def lost(self) -> bool:
        """Whether so much lies between the ends that counting is better: the sample was none."""
        return sum(numbers.size for row in self.tables for numbers, _ in row) > DISTINCT

    def join(self, other: Bracketed) -> None:
        """Add what another state found with the same brackets."""
        for name in ("elements", "pending", "counts", "zeros"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, others in zip(self.inside, other.inside, strict=True):
            for here, there in zip(mine, others, strict=True):
                here.extend(there)
        self.tables = [
            [joined(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(self.tables, other.tables, strict=True)
        ]
        if self.pending > PENDING:
            self.pour()

    def value(self, row: int, rank: int) -> float | None:
        """The magnitude at a rank; None where no bracket holds it."""
        if rank < 0:
            return 0.0
        if rank >= self.elements:
            return math.inf
        for b, (low, high) in enumerate(self.ends[row]):
            below, at_low, at_high = self.counts[row, b]
            came, (numbers, times) = np.concatenate([*self.inside[row][b], np.empty(0, np.int32)]), self.tables[row][b]
            between = came.size + int(times.sum())
            place = rank - int(below) - int(at_low)
            if -at_low <= place < 0:
                return float_of(low)
            if 0 <= place < between:
                return float_of(_picked(came, numbers, times, place))
            if between <= place < between + at_high:
                return float_of(high)
        return None


def counted(found: Sequence[NDArray[np.int32]]) -> Counted:
    """Numbers as a table."""
    numbers, times = np.unique(np.concatenate([*found, np.empty(0, np.int32)]), return_counts=True)
    return numbers, times


def joined(one: Counted, two: Counted) -> Counted:
    """Two tables as one.

    Example:
        >>> numbers, times = joined(counted([np.array([5, 3])]), counted([np.array([7, 5])]))
        >>> numbers.tolist(), times.tolist()
        ([3, 5, 7], [1, 2, 1])
    """
    if not (one[0].size and two[0].size):
        return one if one[0].size else two
    numbers, times = np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]])
    order = np.argsort(numbers, kind="stable")
    numbers, times = numbers[order], times[order]
    first = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    return numbers[first], np.add.reduceat(times, first)


def _picked(came: NDArray[np.int32], numbers: NDArray[np.int32], times: NDArray[np.int64], place: int) -> int:
    """The number at a place, among those that came and those that were counted.

    Sorting takes a third of the time of numpy's selection, which does badly where few numbers come very often.
    """
    if not numbers.size:
        return int(np.sort(came)[place])
    numbers, times = joined((numbers, times), counted([came]))
    return int(numbers[np.searchsorted(times.cumsum(), place, side="right")])


def float_of(bits: int) -> float:
    """The float32 of these bits."""
    return float(np.array(bits, np.int32).view(np.float32))
