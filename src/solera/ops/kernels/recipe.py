"""A method as the kernels know it: stages with what they need to find out first, and a reduction.

Stages stand for the steps of the method's chain, by position; what a step finds out is the same value that the step's
summary gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from solera.ops.kernels.program import Op, Reduction
from solera.types import ELEMENT, ROWS, Grain, Scope

Found = Any
"""The finished summary of a step."""

Matrix = tuple[tuple[float, ...], ...]
"""Inner products of the operands."""


class LeafFacts(Protocol):
    """What kernels know of a leaf; `ops.contract.Facts` has it all."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole leaf's shape."""
        ...

    @property
    def leaf(self) -> str:
        """Its canonical name."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Stable ids of the operands."""
        ...

    @property
    def seed(self) -> int:
        """64-bit key of the run and node."""
        ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """Facts of a leaf, for callers without torch."""

    shape: tuple[int, ...]
    leaf: str = ""
    models: tuple[str, ...] = ()
    seed: int = 0


class Of(IntEnum):
    """What is ranked, by the numbers that the compiled loops know."""

    MODELS = 0
    VARIANCE = 1
    IMPORTANCE = 2


@dataclass(frozen=True, slots=True)
class Order:
    """Wants magnitudes at ranks: of every model, or of one row that is made of them."""

    ranks: Callable[[int, int, int], tuple[int, ...]]
    scope: Scope = Scope.TENSOR
    of: Of = Of.MODELS


@dataclass(frozen=True, slots=True)
class CellSums:
    """Wants sums by name: of magnitudes (kind 0) or squares (2); inner products of all pairs (1)."""

    kind: int
    names: tuple[str, ...] = ()
    scope: Scope = Scope.TENSOR


@dataclass(frozen=True, slots=True)
class Ballot:
    """Wants the numbers of entries that elect plus and minus."""

    by_count: bool
    scope: Scope = Scope.POPULATION


@dataclass(frozen=True, slots=True)
class Changed:
    """Wants the numbers of entries that each model changed with others and alone."""

    epsilon: float
    scope: Scope = Scope.TENSOR


@dataclass(frozen=True, slots=True)
class Then:
    """Wants one thing, then sums that may depend on it."""

    first: Order
    then: CellSums

    @property
    def scope(self) -> Scope:
        """That of the first."""
        return self.first.scope


Wanted = Order | CellSums | Ballot | Changed | Then


Ops = Callable[[Sequence[Found], LeafFacts, int], tuple[Op, ...]]
"""(everything found, by step; facts; the step's own position) -> operations."""


def no_ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
    """A stage that leaves the stream as it is."""
    return ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the chain.

    Attributes:
        ops: what it does to the stream, once everything is found.
        wants: what has to be found first.
        inner: for sums: the operations whose effect is summed up, the step's own finding being that of the first part.
    """

    ops: Ops = no_ops
    wants: Wanted | None = None
    inner: Ops = no_ops


@dataclass(frozen=True, slots=True)
class Recipe:
    """A method for a number of models.

    Attributes:
        stages: one per step of the chain, up to the one that reduces.
        ending: from everything found, by step, to the reduction.
        base_as_operand: the base, where there is one, stands before the models as an operand.
        grain: ROWS where blocks must be whole rows; sums are then kept by row.
        by_row: from the inner products of one row to its coefficients, for an ending that is BY_ROW.
    """

    stages: tuple[Stage, ...]
    ending: Callable[[Sequence[Found], LeafFacts], Reduction]
    base_as_operand: bool = False
    grain: Grain = ELEMENT
    by_row: Callable[[Matrix], Sequence[float]] | None = None

    def row(self, facts: LeafFacts) -> int:
        """Length of a leaf's rows: the last axis, a vector being one row; 0 where blocks are not cut by rows."""
        return (max(1, facts.shape[-1]) if facts.shape else 1) if self.grain is ROWS else 0


def draw_key(facts: LeafFacts, step: int, model_id: str) -> int:
    """64 bits from everything that names a draw but its index: as in `ops.random`."""
    words = (facts.seed % 2**64, step, len(model_id.encode()), len(facts.leaf.encode()))
    text = b"".join(word.to_bytes(8, "little") for word in words) + model_id.encode() + facts.leaf.encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def model_ids(facts: LeafFacts, models: int) -> Sequence[str]:
    """The operands' ids; their positions where the facts carry none."""
    return facts.models or tuple(str(position) for position in range(models))
