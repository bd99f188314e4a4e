"""What has to be found out before a block can be written: folds over blocks, with the steps' own results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels import engine
from solera.ops.kernels.program import Inputs, Packed
from solera.ops.kernels.recipe import Ballot, CellSums, Changed, Matrix, Order
from solera.ops.kernels.tree import Partials
from solera.types import CELL

BUCKETS, INSIDE = 1 << 15, 1 << 16
FULL = 1 << 31
"""Elements after which 32-bit counts are carried over."""
_ZERO, _BEYOND = -1, -2

Bracket = tuple[tuple[int, ...], ...]
"""For every row, the first bucket of each range inside which one pass counts exactly."""

BRACKET = 4
"""Buckets in a bracket; each is about 0.6 % wide."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One block as a pass sees it.

    Attributes:
        inputs: operands. ops: the stream as it reaches the step, `stops` operations for each sum.
        start: index of the first element. leaf: its name.
    """

    inputs: Inputs
    ops: Packed
    stops: tuple[int, ...]
    start: int
    leaf: str


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
class Bracketed:
    """Exact counts inside brackets: lower (rows, brackets, width, 64 Ki); what lies below, zeros and elements."""

    bracket: Bracket
    elements: int = 0
    firsts: NDArray[np.int64] = field(init=False)
    below: NDArray[np.int64] = field(init=False)
    zeros: NDArray[np.int64] = field(init=False)
    lower: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.firsts = np.array(self.bracket, np.int64)
        self.below = np.zeros_like(self.firsts)
        self.zeros = np.zeros(len(self.bracket), np.int64)
        self.lower = np.zeros((*self.firsts.shape, BRACKET, INSIDE), np.int64)

    def value(self, row: int, rank: int) -> float | None:
        """The magnitude at a rank; None where no bracket holds it."""
        if rank < 0:
            return 0.0
        if rank >= self.elements:
            return math.inf
        for first, below, lower in zip(self.firsts[row], self.below[row], self.lower[row], strict=True):
            running = lower.ravel().cumsum()
            if below <= rank < below + running[-1]:
                bits = (int(first) << 16) + int(np.searchsorted(running, rank - below, side="right"))
                return float(np.array(bits, np.int32).view(np.float32))
        return None


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


@dataclass(frozen=True, slots=True)
class OrderFold:
    """Magnitudes at ranks; two rounds, or one where the bracket held."""

    wants: Order
    models: int
    rounds: int = 2

    def init(self, round_: int, previous: Any, bracket: Bracket = ()) -> Upper | Lower | Bracketed:
        """Empty state; with a bracket, that of a pass which may find all at once."""
        if round_ == 0 and bracket:
            return Bracketed(bracket)
        return Upper(1 if self.wants.of else self.models) if round_ == 0 else Lower(previous)

    def add(self, state: Upper | Lower | Bracketed, unit: Unit) -> bool:
        """Count one block; False where an input is not finite."""
        given = (unit.inputs, unit.ops, unit.start, self.wants.of)
        if isinstance(state, Bracketed):
            state.elements += unit.inputs.elements
            return engine.count_bracket(*given, state.firsts, state.below, state.zeros, state.lower)
        if isinstance(state, Lower):
            return engine.count_inside(*given, state.rows, state.buckets, state.tables)
        state.carry(unit.inputs.elements)
        return engine.count(*given, state.upper, state.zeros)

    def merge(self, left: Any, right: Any) -> Any:
        """Join two states of one round and bracket."""
        if isinstance(left, Upper):
            left.total = left.total + right.counts()
            left.zeros += right.zeros
            return left
        for name in ("tables",) if isinstance(left, Lower) else ("elements", "below", "zeros", "lower"):
            setattr(left, name, getattr(left, name) + getattr(right, name))
        return left

    def finish(self, round_: int, state: Upper | Lower) -> Any:  # noqa: ARG002
        """Round 0: (bucket, rank inside it) for every row and rank. Round 1: the magnitudes."""
        if isinstance(state, Upper):
            return self._places(state)
        tables = {(int(r), int(b)): t for r, b, t in zip(state.rows, state.buckets, state.tables, strict=True)}
        return tuple(tuple(_value(tables, row, *p) for p in places) for row, places in enumerate(state.selected))

    def settled(self, state: Any) -> Any:
        """The magnitudes, after a pass with a bracket that held; else None."""
        if not isinstance(state, Bracketed):
            return None
        found = tuple(
            tuple(state.value(row, rank) for rank in self.wants.ranks(row, state.elements, state.elements - int(none)))
            for row, none in enumerate(state.zeros)
        )
        return None if any(value is None for values in found for value in values) else found

    def guess(self, state: Any) -> Bracket:
        """A bracket from the counts of a sample: around the bucket of every rank."""
        if not isinstance(state, Upper):
            return ()
        return tuple(tuple(max(b - BRACKET // 2, 0) for b, _ in ranks) for ranks in self._places(state))

    def _places(self, state: Upper) -> tuple[tuple[tuple[int, int], ...], ...]:
        below = state.counts().cumsum(1)
        return tuple(
            tuple(_bucket(row, rank) for rank in self.wants.ranks(k, int(row[-1]), int(row[-1]) - int(zeros)))
            for k, (row, zeros) in enumerate(zip(below, state.zeros, strict=True))
        )


@dataclass(frozen=True, slots=True)
class SumsFold:
    """Sums by cells: magnitudes, squares or inner products."""

    wants: CellSums
    models: int
    rounds: int = 1

    def init(self, round_: int, previous: Any, bracket: Bracket = ()) -> list[Partials]:  # noqa: ARG002
        """Empty state."""
        return [Partials() for _ in self.wants.names or ("gram",)]

    def add(self, state: list[Partials], unit: Unit) -> bool:
        """Sum one block's cells; False where an input is not finite."""
        n, kind, cell = unit.inputs.elements, self.wants.kind, unit.ops.row or CELL
        if n == 0:
            return True
        found = np.zeros((len(unit.stops), self._rows(unit.inputs.models), -(-n // cell)))
        fine = engine.sums(unit.inputs, unit.ops, unit.start, np.array(unit.stops, np.int64), kind, found)
        for partials, cells in zip(state, found, strict=True):
            partials.blocks.append((unit.leaf, unit.start // cell, cells))
        return fine

    def merge(self, left: list[Partials], right: list[Partials]) -> list[Partials]:
        """Join two states."""
        for mine, other in zip(left, right, strict=True):
            mine.blocks.extend(other.blocks)
        return left

    def finish(self, round_: int, state: list[Partials]) -> Any:  # noqa: ARG002
        """{name: sums per model}, or the matrix of inner products (empty for a tensor without elements)."""
        if self.wants.kind != 1:
            named = zip(self.wants.names, state, strict=True)
            return {name: partials.joined(self.models) for name, partials in named}
        rows = state[0].blocks[0][2].shape[0] if state[0].blocks else 0
        size = int(((8 * rows + 1) ** 0.5 - 1) / 2)
        pairs = list(combinations_with_replacement(range(size), 2))
        upper = dict(zip(pairs, state[0].joined(len(pairs)), strict=True))
        return tuple(tuple(upper[min(i, j), max(i, j)] for j in range(size)) for i in range(size))

    def _rows(self, models: int) -> int:
        return models * (models + 1) // 2 if self.wants.kind == 1 else models


@dataclass(frozen=True, slots=True)
class CountsFold:
    """Whole numbers by name: elected signs, or entries changed with others and alone."""

    wants: Ballot | Changed
    models: int
    rounds: int = 1

    def init(self, round_: int, previous: Any, bracket: Bracket = ()) -> list[NDArray[np.int64]]:  # noqa: ARG002
        """Empty state."""
        return [np.zeros(2 if isinstance(self.wants, Ballot) else (2, self.models), np.int64)]

    def add(self, state: list[NDArray[np.int64]], unit: Unit) -> bool:
        """Count one block; False where an input is not finite."""
        given = (unit.inputs, unit.ops, unit.start)
        if isinstance(self.wants, Ballot):
            return engine.ballot(*given, self.wants.by_count, state[0])
        return engine.changed(*given, np.float32(self.wants.epsilon), state[0])

    def merge(self, left: Any, right: Any) -> Any:
        """Join two states."""
        left[0] += right[0]
        return left

    def finish(self, round_: int, state: Any) -> Any:  # noqa: ARG002
        """{name: counts}."""
        if isinstance(self.wants, Ballot):
            return {"minus": (int(state[0][1]),), "plus": (int(state[0][0]),)}
        return {name: tuple(int(n) for n in row) for name, row in zip(("shared", "unique"), state[0], strict=True)}


Fold = OrderFold | SumsFold | CountsFold


def row_coefficients(
    find: Callable[[Matrix], Sequence[float]], inputs: Inputs, ops: Packed, start: int
) -> NDArray[np.float32] | None:
    """Coefficients of every row of a block, model by model; None for an input that is not finite."""
    pairs = list(combinations_with_replacement(range(inputs.models), 2))
    found = np.zeros((1, len(pairs), inputs.elements // ops.row))
    if not engine.sums(inputs, ops, start, np.zeros(1, np.int64), 1, found):
        return None
    place = {pair: p for p, pair in enumerate(pairs)}
    index = [[place[min(i, j), max(i, j)] for j in range(inputs.models)] for i in range(inputs.models)]
    rows = (find(tuple(tuple(row[p] for p in line) for line in index)) for row in found[0].T.tolist())
    return np.array([c for row in rows for c in row], np.float64).astype(np.float32)


def _bucket(below: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The bucket of a rank, from the running counts, and the rank inside it."""
    if rank < 0:
        return _ZERO, 0
    if rank >= int(below[-1]):
        return _BEYOND, 0
    bucket = int(np.searchsorted(below, rank, side="right"))
    return bucket, rank - (int(below[bucket - 1]) if bucket else 0)


def _value(tables: Any, row: int, bucket: int, rank: int) -> float:
    if bucket < 0:
        return 0.0 if bucket == _ZERO else math.inf
    lower, _ = _bucket(tables[row, bucket].cumsum(), rank)
    return float(np.array(bucket << 16 | lower, np.int32).view(np.float32))
