"""Summaries that are sums: named sums, counts, inner products, and one summary after another.

Each is a fold with bounded state whose states merge in any grouping; finished values are plain numbers in tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor

from solera.ops.contract import Facts, Stack, Summary
from solera.ops.reduce import Partials
from solera.types import ELEMENT, Grain, Scope

Terms = Callable[[Stack, Facts], Mapping[str, Tensor]]
"""Named terms of one unit, each (rows, *unit): usually one row per model."""


@dataclass(slots=True)
class _Named:
    """State of `Sums`: partials and row count by name."""

    partials: dict[str, Partials] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sums:
    """Named float64 sums over a tensor or population, row by row.

    Finished: {name: (sum of row 0, sum of row 1, ...)}. State: 8 bytes per row and cell of 64 Ki elements.

    Attributes:
        of: the terms.
        by: ELEMENT where units start at cells; ROWS where they are whole rows (chains with a step of that grain).
        scope: over a tensor or a population.

    Example:
        >>> from solera.ops.contract import as_stack
        >>> norms = Sums(lambda stack, facts: {"l1": stack.values.abs()})
        >>> state = norms.add(norms.init(0, None), as_stack(torch.tensor([1.0, -2.0])), Facts(shape=(2,)))
        >>> norms.finish(0, state)
        {'l1': (3.0,)}
    """

    of: Terms
    by: Grain = ELEMENT
    scope: Scope = Scope.TENSOR
    rounds: int = 1

    def init(self, round_: int, previous: Any) -> _Named:  # noqa: ARG002
        """Empty state."""
        return _Named()

    def add(self, state: _Named, stack: Stack, facts: Facts) -> _Named:
        """Fold one unit in."""
        for name, terms in self.of(stack, facts).items():
            state.partials.setdefault(name, Partials()).add(terms, facts, self.by)
            state.rows[name] = terms.shape[0]
        return state

    def merge(self, left: _Named, right: _Named) -> _Named:
        """Join two states."""
        for name, partials in right.partials.items():
            left.partials.setdefault(name, Partials()).blocks.extend(partials.blocks)
            left.rows[name] = right.rows[name]
        return left

    def finish(self, round_: int, state: _Named) -> dict[str, tuple[float, ...]]:  # noqa: ARG002
        """The sums."""
        return {name: partials.joined(state.rows[name]) for name, partials in state.partials.items()}


@dataclass(frozen=True, slots=True)
class Counts:
    """Named whole numbers over a tensor or population, row by row: exact in any order, with a few bytes of state.

    Finished: {name: (count of row 0, ...)}. The terms are booleans or integers.

    Example:
        >>> from solera.ops.contract import as_stack
        >>> signs = Counts(lambda stack, facts: {"plus": stack.values > 0})
        >>> state = signs.add(signs.init(0, None), as_stack(torch.tensor([1.0, -2.0])), Facts(shape=(2,)))
        >>> signs.finish(0, state)
        {'plus': (1,)}
    """

    of: Terms
    scope: Scope = Scope.TENSOR
    rounds: int = 1

    def init(self, round_: int, previous: Any) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        """Empty state."""
        return {}

    def add(self, state: dict[str, tuple[int, ...]], stack: Stack, facts: Facts) -> dict[str, tuple[int, ...]]:
        """Fold one unit in."""
        terms = self.of(stack, facts)
        found = {name: tuple(int(row.sum(dtype=torch.int64)) for row in rows) for name, rows in terms.items()}
        return self.merge(state, found)

    def merge(self, left: dict[str, tuple[int, ...]], right: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Join two states."""
        return {name: _added(left.get(name), right.get(name)) for name in sorted({*left, *right})}

    def finish(self, round_: int, state: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        """The counts."""
        return state


def _added(left: tuple[int, ...] | None, right: tuple[int, ...] | None) -> tuple[int, ...]:
    if left is None or right is None:
        return left or right or ()
    return tuple(a + b for a, b in zip(left, right, strict=True))


Operands = Callable[[Stack], Sequence[Tensor]]
"""The vectors that take part, each of the unit's shape."""


def all_models(stack: Stack) -> Sequence[Tensor]:
    """The models, without the base."""
    return tuple(stack.values)


@dataclass(frozen=True, slots=True)
class Gram:
    """Inner products of the operands with each other, in float64.

    Finished: a symmetric matrix as a tuple of rows. State: 8 bytes per pair and cell of 64 Ki elements.

    Example:
        >>> from solera.ops.contract import as_stack
        >>> gram = Gram()
        >>> stack = as_stack(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0]))
        >>> gram.finish(0, gram.add(gram.init(0, None), stack, Facts(shape=(2,))))
        ((25.0, 3.0), (3.0, 1.0))
    """

    of: Operands = all_models
    scope: Scope = Scope.TENSOR
    rounds: int = 1

    def init(self, round_: int, previous: Any) -> Partials:  # noqa: ARG002
        """Empty state."""
        return Partials()

    def add(self, state: Partials, stack: Stack, facts: Facts) -> Partials:
        """Fold one unit in."""
        wide = [vector.to(torch.float64) for vector in self.of(stack)]
        products = [left * right for left, right in combinations_with_replacement(wide, 2)]
        state.add(torch.stack(products), facts, ELEMENT)
        return state

    def merge(self, left: Partials, right: Partials) -> Partials:
        """Join two states."""
        left.blocks.extend(right.blocks)
        return left

    def finish(self, round_: int, state: Partials) -> tuple[tuple[float, ...], ...]:  # noqa: ARG002
        """The matrix; of a tensor without elements it is empty."""
        pairs = state.blocks[0][2].shape[0] if state.blocks else 0
        size = int(((8 * pairs + 1) ** 0.5 - 1) / 2)
        return square(dict(zip(combinations_with_replacement(range(size), 2), state.joined(pairs), strict=True)), size)


def square(upper: Mapping[tuple[int, int], float], size: int) -> tuple[tuple[float, ...], ...]:
    """A symmetric matrix from its upper triangle."""
    return tuple(tuple(upper[min(i, j), max(i, j)] for j in range(size)) for i in range(size))


@dataclass(slots=True)
class _Stage:
    """State of `Sequel`: which summary is running, what the first one found, and the running one's state."""

    second: bool
    found: Any
    inner: Any


@dataclass(frozen=True, slots=True)
class Sequel:
    """One summary, then another that may use the first one's result (as `Facts.summary`).

    Finished: (result of the first, result of the second).
    """

    first: Summary
    then: Summary

    @property
    def rounds(self) -> int:
        """Rounds of both."""
        return self.first.rounds + self.then.rounds

    @property
    def scope(self) -> Scope:
        """That of the first."""
        return self.first.scope

    def init(self, round_: int, previous: Any) -> _Stage:
        """Empty state of one round."""
        if round_ < self.first.rounds:
            return _Stage(second=False, found=None, inner=self.first.init(round_, previous))
        later = round_ - self.first.rounds
        found, before = (previous, None) if later == 0 else previous
        return _Stage(second=True, found=found, inner=self.then.init(later, before))

    def add(self, state: _Stage, stack: Stack, facts: Facts) -> _Stage:
        """Fold one unit into the running summary."""
        running = self.then if state.second else self.first
        state.inner = running.add(state.inner, stack, replace(facts, summary=state.found))
        return state

    def merge(self, left: _Stage, right: _Stage) -> _Stage:
        """Join two states of the same round."""
        left.inner = (self.then if left.second else self.first).merge(left.inner, right.inner)
        return left

    def finish(self, round_: int, state: _Stage) -> Any:
        """Close a round of the running summary."""
        if not state.second:
            return self.first.finish(round_, state.inner)
        return state.found, self.then.finish(round_ - self.first.rounds, state.inner)
