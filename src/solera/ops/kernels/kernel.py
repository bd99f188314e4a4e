"""A method's kernel: what it has to find out first, and how it writes a block."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from solera.ops.kernels import engine
from solera.ops.kernels.coefficients import NoKernelError
from solera.ops.kernels.formats import FORMATS, OUTPUTS, first_nonfinite, raw
from solera.ops.kernels.methods import METHODS
from solera.ops.kernels.passes import Bracket, CountsFold, Fold, OrderFold, SumsFold, Unit
from solera.ops.kernels.program import Ends, Inputs, Op, Packed, pack, pack_reduction
from solera.ops.kernels.recipe import CellSums, Found, LeafFacts, Order, Recipe, Then, Wanted
from solera.types import DType, Scope

Block = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Bad:
    """An element that stops the merge.

    Attributes:
        operand: position of the model; -1 the base; -2 the result, which does not fit float16.
        index: of the element in the leaf.
    """

    operand: int
    index: int


@dataclass(slots=True)
class State:
    """State of one round: the running fold's, and for a second fold what the first one found."""

    fold: Fold
    inner: Any
    found: Found = None


@dataclass(frozen=True, slots=True)
class SummaryPass:
    """What one step has to find out, on blocks.

    Attributes:
        recipe, models, delta: the method.
        step: position of the step in the method's chain; what is found belongs there.
    """

    recipe: Recipe
    models: int
    delta: bool
    step: int

    @property
    def rounds(self) -> int:
        """Passes over the blocks."""
        return sum(fold.rounds for fold in self._folds())

    @property
    def scope(self) -> Scope:
        """What it is taken over."""
        return self._wants().scope

    def init(self, round_: int, previous: Any, *, bracket: Bracket = ()) -> State:
        """Empty state of one round; `previous` is what the round before found.

        Args:
            round_: from 0 on.
            previous: None in round 0.
            bracket: from `guess`, for a round that counts: it may then not need the next.
        """
        folds = self._folds()
        first = folds[0]
        if round_ < first.rounds:
            return State(first, first.init(round_, previous, bracket))
        return State(folds[1], folds[1].init(0, None), found=previous)

    def add(
        self,
        state: State,
        base: Block | None,
        blocks: Sequence[Block],
        dtypes: Sequence[DType],
        finished: Sequence[Found],
        start: int,
        facts: LeafFacts,
    ) -> Bad | None:
        """Fold one block in, in place.

        Args:
            state: from `init`.
            base: the base's elements, where the method has one.
            blocks: the models' elements, as stored: any array type of the right size.
            dtypes: element types: the base's first, where it is given, then the models'.
            finished: what earlier steps found, by step.
            start: index of the first element in the leaf, a multiple of `CELL`.
            facts: of the leaf.

        Returns:
            The first element that is not finite, if any; the state is of no use then.
        """
        inputs = _inputs(self.recipe, base, blocks, dtypes, self.delta)
        if inputs.elements == 0:
            return None
        before = self._ops_before(finished, facts)
        inner = self._inner(state, finished, facts)
        stops: tuple[int, ...] = (len(before), len(before) + len(inner))
        wants = state.fold.wants
        if isinstance(wants, CellSums) and len(wants.names) < 2:
            stops = stops[1:]
        ops = pack((*before, *inner), inputs.models)
        fine = state.fold.add(state.inner, Unit(inputs, ops, stops, start, facts.leaf))
        return None if fine else _bad_input(inputs, start, len(inputs.bits) - len(blocks))

    def merge(self, left: State, right: State) -> State:
        """Join two states of one round."""
        left.inner = left.fold.merge(left.inner, right.inner)
        return left

    def finish(self, round_: int, state: State) -> Found:
        """Close a round; the last one gives what the step's summary gives."""
        if isinstance(self._wants(), Then) and state.fold.rounds == 1:
            return state.found, state.fold.finish(0, state.inner)
        return state.fold.finish(round_, state.inner)

    def guess(self, state: State) -> Bracket:
        """A bracket for `init`, from a first round over a sample of the blocks; empty where nothing is ranked."""
        return state.fold.guess(state.inner) if isinstance(state.fold, OrderFold) else ()

    def settled(self, state: State) -> Found | None:
        """What round 1 would find, if round 0 had a bracket that held; else None."""
        return state.fold.settled(state.inner) if isinstance(state.fold, OrderFold) else None

    def _wants(self) -> Wanted:
        wants = self.recipe.stages[self.step].wants
        assert wants is not None
        return wants

    def _folds(self) -> tuple[Fold, ...]:
        wants, models = self._wants(), self.models
        if isinstance(wants, Then):
            return OrderFold(wants.first, models), SumsFold(wants.then, models)
        if isinstance(wants, Order):
            return (OrderFold(wants, models),)
        return (SumsFold(wants, models) if isinstance(wants, CellSums) else CountsFold(wants, models),)

    def _ops_before(self, finished: Sequence[Found], facts: LeafFacts) -> tuple[Op, ...]:
        stages = enumerate(self.recipe.stages[: self.step])
        return tuple(op for i, stage in stages for op in stage.ops(finished, facts, i))

    def _inner(self, state: State, finished: Sequence[Found], facts: LeafFacts) -> tuple[Op, ...]:
        if not isinstance(state.fold, SumsFold):
            return ()
        own = (*finished[: self.step], *[None] * (self.step - len(finished)), state.found)
        return self.recipe.stages[self.step].inner(own, facts, self.step)


@dataclass(frozen=True, slots=True)
class Bound:
    """A kernel with everything found, for one leaf: writing a block prepares nothing more."""

    recipe: Recipe
    delta: bool
    ops: Packed
    ends: Ends
    unrolled: engine.Unrolled | None = None

    def write(
        self,
        base: Block | None,
        blocks: Sequence[Block],
        dtypes: Sequence[DType],
        out: Block,
        out_dtype: DType,
        start: int,
    ) -> Bad | None:
        """Merge one block into `out`, as `FusedKernel.write`."""
        inputs = _inputs(self.recipe, base, blocks, dtypes, self.delta)
        if inputs.elements == 0:
            return None
        target = out.reshape(-1).view(f"i{out_dtype.itemsize}")
        code = engine.write(inputs, self.ops, self.ends, start, target, out_dtype, self.unrolled)
        if code == 0:
            return None
        if code == 1:
            return _bad_input(inputs, start, len(inputs.bits) - len(blocks))
        return Bad(-2, start + first_nonfinite(target, out_dtype))


@dataclass(frozen=True, slots=True)
class FusedKernel:
    """A method on blocks of stored elements.

    Attributes:
        recipe, models, delta: the method; with `delta` the base is subtracted and added back.
        passes: what has to be found first, in the order of the steps.
    """

    recipe: Recipe
    models: int
    delta: bool
    passes: tuple[SummaryPass, ...]

    def supports(self, dtypes: Sequence[DType], out: DType) -> bool:
        """Whether these element types can be read and written."""
        return out in OUTPUTS and all(dtype in FORMATS for dtype in dtypes)

    def bind(self, finished: Sequence[Found], facts: LeafFacts) -> Bound:
        """Prepare for one leaf; `finished[i]` is what step i found, None where it has nothing to find."""
        models = self.models + int(self.recipe.base_as_operand)
        ops = [op for i, stage in enumerate(self.recipe.stages) for op in stage.ops(finished, facts, i)]
        ends = pack_reduction(self.recipe.ending(finished, facts), models)
        packed = pack(ops, models)
        return Bound(self.recipe, self.delta, packed, ends, engine.unrolled_form(packed, ends, delta=self.delta))

    def write(
        self,
        base: Block | None,
        blocks: Sequence[Block],
        dtypes: Sequence[DType],
        finished: Sequence[Found],
        out: Block,
        out_dtype: DType,
        start: int,
        facts: LeafFacts,
    ) -> Bad | None:
        """Merge one block into `out`.

        Args:
            base: the base's elements, where the method has one.
            blocks: the models' elements, as stored: contiguous arrays of any type of the right size.
            dtypes: element types: the base's first, where it is given, then the models'.
            finished: what the steps found, by step.
            out: receives the result; any contiguous array with the size of `out_dtype`.
            out_dtype: F32, BF16 or F16.
            start: index of the first element in the leaf.
            facts: of the leaf.

        Returns:
            The first element that is not finite or does not fit, if any; `out` is of no use then.
        """
        return self.bind(finished, facts).write(base, blocks, dtypes, out, out_dtype, start)


def fused(method: str, parameters: Mapping[str, Any], models: int, *, delta: bool) -> FusedKernel | None:
    """The kernel of a method; None where the method, an option or a value has none.

    Args:
        method: its name.
        parameters: by the names of recipes; those left out have the method's defaults. No variant is applied.
        models: number of operands.
        delta: the method works on task vectors.

    Example:
        >>> import numpy as np
        >>> from solera.ops.kernels import Leaf
        >>> kernel = fused("linear", {"weight": (1.0, 3.0)}, 2, delta=False)
        >>> out = np.zeros(2, np.float32)
        >>> blocks = [np.array([1.0, 2.0], np.float32), np.array([3.0, 6.0], np.float32)]
        >>> kernel.write(None, blocks, [DType.F32] * 2, (), out, DType.F32, 0, Leaf((2,)))
        >>> out
        array([2.5, 5. ], dtype=float32)
    """
    make = METHODS.get(method)
    if make is None:
        return None
    named = {"lambda_" if name == "lambda" else name: value for name, value in parameters.items()}
    try:
        inspect.signature(make).bind(models, **named)
        recipe = make(models, **named)
    except (NoKernelError, ValueError, TypeError):
        return None
    if recipe is None:
        return None
    steps = [i for i, stage in enumerate(recipe.stages) if stage.wants is not None]
    return FusedKernel(recipe, models, delta, tuple(SummaryPass(recipe, models, delta, i) for i in steps))


def _inputs(
    recipe: Recipe, base: Block | None, blocks: Sequence[Block], dtypes: Sequence[DType], delta: bool
) -> Inputs:
    takes_base = base is not None and (delta or recipe.base_as_operand)
    operands = (base, *blocks) if base is not None and takes_base else tuple(blocks)
    types = tuple(dtypes) if len(dtypes) == len(operands) else tuple(dtypes)[len(dtypes) - len(operands) :]
    return Inputs(tuple(raw(b, d) for b, d in zip(operands, types, strict=True)), types, delta)


def _bad_input(inputs: Inputs, start: int, first: int) -> Bad:
    for position, (bits, dtype) in enumerate(zip(inputs.bits, inputs.dtypes, strict=True)):
        if (index := first_nonfinite(bits, dtype)) >= 0:
            return Bad(position - first, start + index)
    msg = "an input was found not finite, and then was"
    raise AssertionError(msg)
