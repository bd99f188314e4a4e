"""Magnitudes at ranks: by counting in two passes, in one where a bracket holds, or by selection where they are few."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels import engine
from solera.ops.kernels.brackets import Bracket, Bracketed, float_of
from solera.ops.kernels.buffers import Buffers
from solera.ops.kernels.program import Divergences, Inputs, Packed, Unit
from solera.ops.kernels.recipe import Order

BUCKETS, INSIDE = 1 << 15, 1 << 16
SLACK = 16
"""Places beyond what may be kept of a block: loops store by sixteens."""

FULL = 1 << 31
"""Elements after which 32-bit counts are carried over."""
_ZERO, _BEYOND = -1, -2

Ranks = Callable[[int, int, int], tuple[int, ...]]
"""(row, elements, elements that are not zero) -> wanted positions, 0 being the smallest."""


class Small:
    """Aim of a pass over a tensor of at most `SMALL` elements."""


Aim = Bracket | Small
"""What a first pass is told, so that it may be the only one; an empty bracket tells nothing."""

SMALL = 1 << 16
"""Elements up to which selecting is quicker than counting: the tables alone have as many places."""

DOUBT = 4.5
"""Half the width of a bracket, in standard deviations of a sample's rank."""


@dataclass(slots=True)
class Upper:
    """Counts by upper bits: upper (rows, 2, buckets), what was carried over from it, total, and zeros (rows)."""

    rows: int
    seen: int = 0
    upper: NDArray[np.uint32] = field(init=False)
    total: NDArray[np.int64] = field(init=False)
    zeros: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.upper = np.zeros((self.rows, 2, BUCKETS), np.uint32)
        self.total = np.zeros((self.rows, BUCKETS), np.int64)
        self.zeros = np.zeros(self.rows, np.int64)

    def carry(self, elements: int) -> None:
        """Make room for that many elements more."""
        self.seen += elements
        if self.seen >= FULL:
            self.total, self.seen = self.counts(), elements
            self.upper[:] = 0

    def counts(self) -> NDArray[np.int64]:
        """All counts, (rows, buckets)."""
        counts: NDArray[np.int64] = self.total + self.upper.sum(1, dtype=np.int64)
        return counts


@dataclass(slots=True)
class Lower:
    """Counts by lower bits inside each selected (row, bucket)."""

    selected: Sequence[Sequence[tuple[int, int]]]
    rows: NDArray[np.int64] = field(init=False)
    buckets: NDArray[np.int64] = field(init=False)
    tables: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        pairs = sorted({(row, b) for row, places in enumerate(self.selected) for b, _ in places if b >= 0})
        self.rows = np.array([row for row, _ in pairs], np.int64)
        self.buckets = np.array([bucket for _, bucket in pairs], np.int64)
        self.tables = np.zeros((len(pairs), INSIDE), np.int64)


@dataclass(slots=True)
class Gathered:
    """The magnitudes themselves, as bits: (rows, elements) for each block. For tensors smaller than the tables."""

    rows: int
    blocks: list[NDArray[np.int32]] = field(default_factory=list)

    def more(self, elements: int) -> NDArray[np.int32]:
        """Room for one block more."""
        self.blocks.append(np.empty((self.rows, elements), np.int32))
        return self.blocks[-1]

    def values(self, row: int, ranks: Ranks) -> tuple[float, ...]:
        """The magnitudes at the ranks that are wanted of a row."""
        bits = self._row(row)
        wanted = ranks(row, bits.size, int(np.count_nonzero(bits)))
        inside = sorted({rank for rank in wanted if 0 <= rank < bits.size})
        if inside:
            bits.partition(inside)
        found = bits.view(np.float32)
        return tuple(0.0 if rank < 0 else math.inf if rank >= bits.size else float(found[rank]) for rank in wanted)

    def around(self, row: int, ranks: Ranks, run: int) -> tuple[tuple[int, int], ...]:
        """Bits of magnitudes on both sides of the ranks that are wanted of a row, as far off as a sample may err.

        Neighbours are alike: how far it may err is read from how much its runs of `run` elements differ.
        """
        came = self._row(row)
        bits, n = np.sort(came), came.size
        wanted = ranks(row, n, int(np.count_nonzero(bits)))
        off = [int(DOUBT * _doubt(came, bits[min(max(rank, 0), n - 1)], run)) + 2 for rank in wanted]
        ends = [(max(rank - d, 0), min(rank + d, n - 1)) for rank, d in zip(wanted, off, strict=True)]
        return tuple((int(bits[min(low, n - 1)]), int(bits[max(high, 0)])) for low, high in ends)

    def _row(self, row: int) -> NDArray[np.int32]:
        return np.concatenate([block[row] for block in self.blocks] or [np.empty(0, np.int32)])


@dataclass(frozen=True, slots=True)
class OrderFold:
    """Magnitudes at ranks; two rounds, or one where the bracket held or the tensor is small."""

    wants: Order
    models: int
    rounds: int = 2

    def init(self, round_: int, previous: Any, aim: Aim = ()) -> Upper | Lower | Bracketed | Gathered:
        """Empty state; with a bracket, or for a small tensor, that of a pass which may find all at once."""
        rows, aim = 1 if self.wants.of else self.models, aim or ((previous or ()) if round_ == 0 else ())
        if round_ == 0 and aim:
            return Gathered(rows) if isinstance(aim, Small) else Bracketed(aim)
        return Upper(rows) if round_ == 0 else Lower(previous)

    def add(self, state: Upper | Lower | Bracketed | Gathered, unit: Unit) -> bool:
        """Count one block; False where an input is not finite."""
        given = (unit.inputs, unit.ops, unit.start, self.wants.of, unit.known)
        if isinstance(state, Gathered):
            return engine.gather(*given, state.more(unit.inputs.elements))
        if isinstance(state, Bracketed):
            state.elements += unit.inputs.elements
            return _bracketed(given, state)
        if isinstance(state, Lower):
            return engine.count_inside(*given, state.rows, state.buckets, state.tables)
        state.carry(unit.inputs.elements)
        return engine.count(*given, state.upper, state.zeros)

    def merge(self, left: Any, right: Any) -> Any:
        """Join two states of one round and aim."""
        if isinstance(left, Gathered):
            left.blocks += right.blocks
            return left
        if isinstance(left, Upper):
            left.total = left.total + right.counts()
            left.zeros += right.zeros
            return left
        if isinstance(left, Bracketed):
            left.join(right)
            return left
        left.tables = left.tables + right.tables
        return left

    def finish(self, round_: int, state: Upper | Lower) -> Any:  # noqa: ARG002
        """Round 0: (bucket, rank inside it) for every row and rank. Round 1: the magnitudes."""
        if isinstance(state, Upper):
            return self._places(state)
        tables = {(int(r), int(b)): t for r, b, t in zip(state.rows, state.buckets, state.tables, strict=True)}
        return tuple(tuple(_value(tables, row, *p) for p in places) for row, places in enumerate(state.selected))

    def settled(self, state: Any) -> Any:
        """The magnitudes, after a pass over a small tensor or with a bracket that held; else None."""
        if isinstance(state, Gathered):
            return tuple(state.values(row, self.wants.ranks) for row in range(state.rows))
        if not isinstance(state, Bracketed) or state.lost:
            return None
        found = tuple(
            tuple(state.value(row, rank) for rank in self.wants.ranks(row, state.elements, state.elements - int(none)))
            for row, none in enumerate(state.zeros)
        )
        return None if any(value is None for values in found for value in values) else found

    def guess(self, state: Gathered, run: int = 1) -> Bracket:
        """A bracket from a sample: every rank lies between its ends, unless the sample misleads."""
        return tuple(state.around(row, self.wants.ranks, run) for row in range(state.rows))

    def _places(self, state: Upper) -> tuple[tuple[tuple[int, int], ...], ...]:
        below = state.counts().cumsum(1)
        return tuple(
            tuple(_bucket(row, rank) for rank in self.wants.ranks(k, int(row[-1]), int(row[-1]) - int(zeros)))
            for k, (row, zeros) in enumerate(zip(below, state.zeros, strict=True))
        )


def _bucket(below: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The bucket of a rank, from the running counts, and the rank inside it."""
    if rank < 0:
        return _ZERO, 0
    if rank >= int(below[-1]):
        return _BEYOND, 0
    bucket = int(np.searchsorted(below, rank, side="right"))
    return bucket, rank - (int(below[bucket - 1]) if bucket else 0)


_BUFFERS = Buffers()


def _bracketed(given: tuple[Inputs, Packed, int, int, Divergences], state: Bracketed) -> bool:
    if state.lost:
        return True
    shape = (*state.counts.shape[:2], given[0].elements + SLACK)
    room = _BUFFERS.at(0, 4 * math.prod(shape)).view(np.int32).reshape(shape)
    filled = np.zeros(state.counts.shape[:2], np.int64)
    fine = engine.count_bracket(*given, state.ends, state.counts, state.zeros, room, filled)
    state.keep(room, filled)
    return fine


def _doubt(came: NDArray[np.int32], bar: int, run: int) -> float:
    """Standard deviation of how many of a sample lie below a bar, from its runs."""
    n = came.size
    below = came < bar
    whole = below[: n // run * run].view(np.uint8).reshape(-1, run).sum(1, dtype=np.uint16)
    share = min(max(int(np.count_nonzero(below)) / n, 1 / n), 1 - 1 / n)
    apart = float(whole.std()) * math.sqrt(n / run) if whole.size > 1 else 0.0
    return max(apart, math.sqrt(n * share * (1 - share)))


def _value(tables: Any, row: int, bucket: int, rank: int) -> float:
    if bucket < 0:
        return 0.0 if bucket == _ZERO else math.inf
    lower, _ = _bucket(tables[row, bucket].cumsum(), rank)
    return float_of(bucket << 16 | lower)
