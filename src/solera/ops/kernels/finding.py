"""What a method has to find out first, step by step, from blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solera.ops.kernels.brackets import Bracket
from solera.ops.kernels.operands import Bad, Block, bad_input, inputs_of
from solera.ops.kernels.passes import CountsFold, Fold, SumsFold
from solera.ops.kernels.program import NOWHERE, UNSEEN, Divergences, Masks, Op, Unit, chooses, known_of, pack
from solera.ops.kernels.ranking import Aim, OrderFold
from solera.ops.kernels.recipe import CellSums, Found, LeafFacts, Order, Recipe, Then, Wanted
from solera.types import DType, Scope


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

    @property
    def ranks(self) -> bool:
        """Whether the first two rounds find magnitudes at ranks, which one may do (`aim`)."""
        return isinstance(self._folds()[0], OrderFold)

    def init(self, round_: int, previous: Any, *, aim: Aim = ()) -> State:
        """Empty state of one round; `previous` is what the round before found.

        Args:
            round_: from 0 on.
            previous: in round 0 None, or a bracket as in `aim`.
            aim: for a first round that ranks: a bracket from `guess`, or `Small()`. See `settled`.
        """
        folds = self._folds()
        first = folds[0]
        if round_ < first.rounds:
            return State(first, first.init(round_, previous, aim))
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
        masks: Masks = NOWHERE,
        known: Divergences = UNSEEN,
    ) -> Bad | None:
        """Fold one block in, in place.

        Args:
            state: from `init`.
            base: the base's elements, where the method has one.
            blocks: the models' elements, as stored: any array type of the right size.
            dtypes: element types: the base's first, where it is given, then the models'.
            finished: what earlier steps found, by step.
            start: index of the first element in the leaf: a multiple of `CELL`, or where a row begins.
            facts: of the leaf.
            masks: of the whole leaf, where what `chosen` names leaves is to be noted (`Kept`).
            known: divergences of the whole leaf's rows (`FusedKernel.unseen`), where they are to be kept.

        Returns:
            The first element that is not finite, if any; the state is of no use then.
        """
        inputs = inputs_of(self.recipe, base, blocks, dtypes, self.delta)
        if inputs.elements == 0:
            return None
        before = self._ops_before(finished, facts)
        inner = self._inner(state, finished, facts)
        stops: tuple[int, ...] = (len(before), len(before) + len(inner))
        wants = state.fold.wants
        if isinstance(wants, CellSums) and len(wants.names) < 2:
            stops = stops[1:]
        ops = pack((*before, *inner), inputs.models, self.recipe.row(facts))
        rows = known_of(known, start, inputs.elements, ops.row)
        fine = state.fold.add(state.inner, Unit(inputs, ops, stops, start, facts.leaf, masks, rows))
        return None if fine else bad_input(inputs, start, len(inputs.bits) - len(blocks))

    def chosen(self, state: State, finished: Sequence[Found], facts: LeafFacts) -> tuple[Op, ...]:
        """The operations before sums, where they only choose entries and whole bytes of masks hold a row; else none."""
        if not isinstance(state.fold, SumsFold) or self.recipe.row(facts) % 8:
            return ()
        ops = (*self._ops_before(finished, facts), *self._inner(state, finished, facts))
        return ops if all(chooses(op) for op in ops) else ()

    def merge(self, left: State, right: State) -> State:
        """Join two states of one round."""
        left.inner = left.fold.merge(left.inner, right.inner)
        return left

    def finish(self, round_: int, state: State) -> Found:
        """Close a round; the last one gives what the step's summary gives."""
        if isinstance(self._wants(), Then) and state.fold.rounds == 1:
            return state.found, state.fold.finish(0, state.inner)
        return state.fold.finish(round_, state.inner)

    def guess(self, state: State, run: int = 1) -> Bracket:
        """A bracket for `init`, from a first round over a sample (aim: `Small()`); empty where nothing is ranked.

        Args:
            state: of the sample.
            run: elements of it that lay side by side.
        """
        return state.fold.guess(state.inner, run) if isinstance(state.fold, OrderFold) else ()

    def settled(self, state: State) -> Found | None:
        """What round 1 would find, if round 0 had an aim and met it; else None."""
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
