"""A merge of one block as a short program: operations on the stream, then one reduction over models.

Programs are what methods become once their summaries are known; `plain` and `compiled` run them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels.formats import Raw
from solera.ops.kernels.native import Given
from solera.types import DType

Floats = Sequence[float]
Masks = NDArray[np.uint8]
NOWHERE: Masks = np.empty((0, 0), np.uint8)
"""No masks."""

Divergences = NDArray[np.float64]
"""How far every row of a model is from the base's, negative where nobody has looked: whoever looks first notes it."""
UNSEEN: Divergences = np.empty(0)
"""Those of a leaf whose rows nobody compares, or that are not to be kept."""


class Code(IntEnum):
    """Operations, by the numbers that the compiled loops know them by."""

    KEEP = 1
    DROP = 2
    SCALE = 3
    SELECT = 4
    ELECT = 5
    ROW_BAND = 6
    ROW_DROP = 7


class Ending(IntEnum):
    """Reductions over models."""

    TOTAL = 1
    WEIGHTED = 2
    DISJOINT = 3
    CHANGED = 4
    NEAR = 5
    IMPORTANT = 6
    BY_ROW = 7


@dataclass(frozen=True, slots=True)
class Op:
    """One operation on every model's values.

    KEEP zeroes magnitudes outside [low, high]; DROP zeroes what is not drawn (keys, bars) and divides by low; SCALE
    multiplies by low; SELECT zeroes entries whose variance over models is below low[0]; ELECT zeroes what disagrees
    with the elected sign: low[0] is 1 to vote by count, high[0] is what an even vote elects (0: nobody).

    Of every row ROW_BAND zeroes what is not between the magnitudes of two ranks (wide: the lower, the upper), all where
    they cross; ROW_DROP keeps an entry of rank r with probability wide[0] * r + wide[1] (keys) and divides it by that
    where wide[2] is 1.
    """

    code: Code
    low: Floats
    high: Floats = ()
    keys: Sequence[int] = ()
    bars: Sequence[int] = ()
    wide: Sequence[Floats] = ()


@dataclass(frozen=True, slots=True)
class Reduction:
    """How one value is made of the models'.

    Attributes:
        ending: which reduction.
        shares: WEIGHTED: factors. DISJOINT: shares of the divisor. CHANGED: factors of entries of one model. BY_ROW: a
            factor for every row and model.
        later: DISJOINT: factors that apply after counting.
        divisor, factor: the result is divided by one, then multiplied by the other.
        small: DISJOINT: divisors up to this are replaced. CHANGED: epsilon. NEAR: t. IMPORTANT: the
            threshold.
        instead: DISJOINT: what replaces them. CHANGED: 1 to enlarge entries of one model.
    """

    ending: Ending
    shares: Floats = ()
    later: Floats = ()
    divisor: float = 1.0
    factor: float = 1.0
    small: float = 0.0
    instead: float = 1.0


@dataclass(frozen=True)
class Packed:
    """Operations as arrays: codes (ops), low, high, keys, bars (ops, models), wide (ops, 3, models).

    `row` is the length of the leaf's rows where blocks are made of whole rows, else 0.
    """

    codes: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    keys: NDArray[np.uint64]
    bars: NDArray[np.uint64]
    wide: NDArray[np.float64]
    row: int = 0

    @cached_property
    def arrays(self) -> Given:
        """All fields, as the compiled loops take them."""
        return Given((self.codes, self.low, self.high, self.keys, self.bars, self.wide, self.row))


@dataclass(frozen=True)
class Ends:
    """A reduction as arrays; scalars are divisor, factor, small, instead."""

    ending: int
    shares: NDArray[np.float32]
    later: NDArray[np.float32]
    scalars: NDArray[np.float32]

    @cached_property
    def arrays(self) -> Given:
        """All fields, as the compiled loops take them."""
        return Given((self.ending, self.shares, self.later, self.scalars))


@dataclass(frozen=True, slots=True)
class Inputs:
    """The operands of one block, as bits; the first is the base where `delta`.

    Attributes:
        bits: one row per operand, all of one length.
        dtypes: their element types.
        delta: whether the base is subtracted from the others, and added to the result.
    """

    bits: tuple[Raw, ...]
    dtypes: tuple[DType, ...]
    delta: bool

    @property
    def elements(self) -> int:
        """Length of the block."""
        return int(self.bits[0].size)

    @property
    def models(self) -> int:
        """Rows of the stream."""
        return len(self.bits) - int(self.delta)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the first operations leave of a leaf, noted while sums were taken, so that writing need not run them again.

    Attributes:
        ops: the operations; all of them only choose entries.
        masks: (models, elements / 8, rounded up); a bit is set where they leave a number, the lowest for the first.
    """

    ops: tuple[Op, ...]
    masks: Masks


@dataclass(frozen=True, slots=True)
class Unit:
    """One block as a pass sees it.

    Attributes:
        inputs: operands. ops: the stream as it reaches the step, `stops` operations for each sum.
        start: index of the first element. leaf: its name.
        masks: where to note what is left after the last operation; of the whole leaf, empty for nowhere.
        known: the divergences of the block's rows.
    """

    inputs: Inputs
    ops: Packed
    stops: tuple[int, ...]
    start: int
    leaf: str
    masks: Masks
    known: Divergences


def known_of(known: Divergences, start: int, elements: int, row: int) -> Divergences:
    """The divergences of a block's rows, as part of the leaf's, or to be found for this block alone.

    Example:
        >>> known = np.array([0.5, -1.0, 0.25])
        >>> known_of(known, 8, 4, 4).tolist(), known_of(UNSEEN, 8, 8, 4).tolist()
        ([0.25], [-1.0, -1.0])
    """
    if not row or not known.size:
        return np.full(elements // row, -1.0) if row else UNSEEN
    return known[start // row : (start + elements) // row]


def chooses(op: Op) -> bool:
    """Whether an operation leaves every entry either as it is or as zero.

    Example:
        >>> chooses(Op(Code.KEEP, (0.5,))), chooses(Op(Code.SCALE, (0.5,)))
        (True, False)
    """
    if op.code is Code.DROP:
        return all(divisor == 1 for divisor in op.low)
    if op.code is Code.ROW_DROP:
        return not any(op.wide[2])
    return op.code is not Code.SCALE


def pack(ops: Sequence[Op], models: int, row: int = 0) -> Packed:
    """Operations as arrays.

    Example:
        >>> pack([Op(Code.SCALE, (0.5, 2.0))], 2).low.tolist()
        [[0.5, 2.0]]
    """
    count = len(ops)
    low, high = np.zeros((2, count, models), np.float32)
    keys, bars = np.zeros((2, count, models), np.uint64)
    wide = np.zeros((count, 3, models), np.float64)
    for o, op in enumerate(ops):
        for table, values in ((low, op.low), (high, op.high), (keys, op.keys), (bars, op.bars)):
            table[o, : len(values)] = values
        for place, line in enumerate(op.wide):
            wide[o, place] = line
    return Packed(np.array([op.code for op in ops], np.int64), low, high, keys, bars, wide, row)


def pack_reduction(reduction: Reduction, models: int) -> Ends:
    """A reduction as arrays; what it leaves out is 1."""
    ones = (1.0,) * models
    scalars = (reduction.divisor, reduction.factor, reduction.small, reduction.instead)
    return Ends(
        int(reduction.ending),
        np.array(reduction.shares or ones, np.float32),
        np.array(reduction.later or ones, np.float32),
        np.array(scalars, np.float32),
    )
