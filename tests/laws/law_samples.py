"""Sample methods: good ones that obey every law, and for every law one that breaks it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from solera.errors import BadParameter
from solera.ops.contract import Chain, Step, chain
from solera.ops.fold import per_model, spread, weighted_total
from solera.ops.random import draws
from solera.ops.reduce import Partials, as_rows
from solera.registry import Fraction, PerModel, Range, Share, Weight, method
from solera.types import DELTA, EITHER, ELEMENT, ROWS, WEIGHT, Grain, Scope

PLAIN = {"space": WEIGHT >> WEIGHT, "grain": ELEMENT, "base": "none", "symmetric": True, "numeric": "exact"}
TASK = {"space": DELTA >> DELTA, "grain": ELEMENT, "base": "required", "symmetric": True, "numeric": "exact"}


@dataclass
class SquareSums:
    """Sum of squares per model, over a tensor or a population."""

    scope: Scope = Scope.TENSOR
    by: Grain = ELEMENT
    rounds: int = 1

    def init(self, _round, _previous) -> Partials:
        return Partials()

    def add(self, state, stack, facts) -> Partials:
        state.add(stack.values.double() ** 2, facts, self.by)
        return state

    def merge(self, left, right) -> Partials:
        return Partials(left.blocks + right.blocks)

    def finish(self, _round, state) -> Any:
        return max((len(block[2]) for block in state.blocks), default=0), state


def by_size() -> Step:
    """Average, larger entries counting more."""

    def apply(stack, _facts):
        counts = 1 + stack.values.abs()
        return stack.reduced((stack.values * counts).sum(0) / counts.sum(0))

    return Step("by_size", apply)


def norms(stack, facts) -> tuple[float, ...]:
    return tuple(math.sqrt(total) for total in facts.summary[1].joined(stack.models))


def by_norm(scope: Scope, by: Grain = ELEMENT) -> Step:
    """Average, operands of larger norm counting more."""

    def apply(stack, facts):
        parts = [1 + n for n in norms(stack, facts)]
        return stack.reduced(weighted_total(stack.values, [part / sum(parts) for part in parts]))

    return Step("by_norm", apply, SquareSums(scope, by), by)


def good_sizes() -> None:
    @method("good_sizes", **{**PLAIN, "space": EITHER >> EITHER, "base": "optional"})
    def good_sizes(scale: Annotated[float, Range(0)] = 1.0) -> Chain:
        """Average, larger entries counting more.

        Args:
            scale: multiplies the operands.
        """
        return chain(Step("scale", lambda s, f: s.but(s.values * scale)), by_size())


def good_norms() -> None:
    @method("good_norms", **TASK, variants={"whole": {"whole": True}})
    def good_norms(*, whole: bool = False) -> Chain:
        """Average, task vectors of larger norm counting more.

        Args:
            whole: norms over all tensors.
        """
        return chain(by_norm(Scope.POPULATION if whole else Scope.TENSOR))


def good_drop() -> None:
    @method("good_drop", **TASK, random=True, idempotent="entries are dropped")
    def good_drop(weight: PerModel[Weight] = 0.5, keep: PerModel[Share] = 0.5) -> Chain:
        """Drop entries, then add up.

        Args:
            weight: coefficient.
            keep: share that stays.
        """

        def drop(stack, facts):
            bars = torch.tensor(spread(keep, stack.models, name="keep"), dtype=torch.float64) * 2.0**53
            return stack.but(stack.values * (draws(stack, facts) < per_model(bars.tolist(), stack.values.double())))

        return chain(
            Step("drop", drop), Step("add", lambda s, f: s.reduced(weighted_total(s.values, spread(weight, s.models))))
        )


def good_rows() -> None:
    @method("good_rows", **{**PLAIN, "grain": ROWS, "numeric": "same-build"}, idempotent="rows are normalised")
    def good_rows() -> Chain:
        """Average, then bring every row to at most length 1."""

        def unit(stack, facts):
            rows = as_rows(stack.values, facts).double()
            lengths = (rows * rows).sum(-1, keepdim=True).sqrt()
            return stack.but((rows / (1 + lengths)).to(stack.values.dtype).reshape(stack.values.shape))

        return chain(by_norm(Scope.TENSOR, ROWS), Step("unit", unit, grain=ROWS))


GOOD = (good_sizes, good_norms, good_drop, good_rows)


def one_step(apply, *, documented: bool = True, **facts) -> None:
    """Register `broken` as one step."""

    def broken() -> Chain:
        return chain(Step("broken", apply))

    broken.__doc__ = "Broken." if documented else ""
    method("broken", **{**PLAIN, **facts})(broken)


def undocumented():
    one_step(by_size().apply, documented=False)


def false_grain():
    one_step(by_size().apply, grain=ROWS)


def task_vectors_without_base():
    one_step(by_size().apply, space=DELTA >> DELTA)


def three_optouts():
    one_step(
        by_size().apply,
        law_optouts=dict.fromkeys(["float64_is_accepted", "zeros_give_finite", "slices_equal_whole"], "why"),
    )


def no_reason():
    one_step(by_size().apply, law_optouts={"float64_is_accepted": " "})


def miscounted():
    @method("broken", **PLAIN, idempotent="weights")
    def broken(weight: PerModel[Weight] = 1.0) -> Chain:
        """Broken."""

        def apply(stack, _facts):
            weights = weight if isinstance(weight, tuple) else (weight,) * stack.models
            return stack.reduced(sum(w * v for w, v in zip(weights, stack.values, strict=False)))

        return chain(Step("broken", apply))


def misnamed():
    @method("broken", **PLAIN, idempotent="weights")
    def broken(density: PerModel[Weight] = 1.0) -> Chain:
        """Broken."""
        return chain(Step("add", lambda s, f: s.reduced(weighted_total(s.values, spread(density, s.models)))))


def false_range():
    @method("broken", **PLAIN)
    def broken(t: Fraction = 1.0) -> Chain:
        """Broken."""
        return chain(Step("divide", lambda s, f: s.but(s.values * (1 / t) * t)), by_size())


def nan_at_the_bound():
    @method("broken", **PLAIN)
    def broken(t: Fraction = 1.0) -> Chain:
        """Broken."""
        return chain(Step("divide", lambda s, f: s.but(s.values * t / torch.tensor(t))), by_size())


def impossible_variant():
    @method("broken", **PLAIN, variants={"other": {"t": 0.5}})
    def broken(t: Fraction = 1.0) -> Chain:
        """Broken."""
        if t != 1:
            raise BadParameter("`t` is not usable.")
        return chain(by_size())


def sum_of_all():
    one_step(lambda s, f: s.reduced(s.values.sum(0)))


def first_only():
    one_step(lambda s, f: s.reduced(s.values[0]))


def largest_of_the_unit():
    one_step(lambda s, f: s.reduced(s.values.sum(0) / s.values.abs().max()))


class Forgetful(SquareSums):
    """Keeps the left state only."""

    def merge(self, left, _right) -> Partials:
        return left


class Counting(SquareSums):
    """Forgets in what order the tensors come: keeps the first leaf."""

    def finish(self, _round, state) -> Any:
        return 0, Partials([block for block in state.blocks if block[0] == state.blocks[0][0]])


def with_summary(summary) -> None:
    @method("broken", **PLAIN)
    def broken() -> Chain:
        """Broken."""
        return chain(Step("by_norm", by_norm(Scope.TENSOR).apply, summary))


def lost_state():
    with_summary(Forgetful())


def float32_sums():
    class Naive(SquareSums):
        def init(self, _round, _previous):
            return 0.0

        def add(self, state, stack, _facts):
            return state + float((stack.values**2).sum())

        def merge(self, left, right):
            return left + right

        def finish(self, _round, state):
            return state

    @method("broken", **PLAIN, idempotent="norms")
    def broken() -> Chain:
        """Broken."""
        return chain(Step("norm", lambda s, f: s.reduced(s.values.sum(0) / (1 + f.summary)), Naive()))


def first_leaf_only():
    with_summary(Counting(Scope.POPULATION))


def global_draws():
    one_step(lambda s, f: s.reduced(s.values.mean(0) * torch.rand(())), random=True)


def random_in_name_only():
    one_step(by_size().apply, random=True)


def undeclared_draws():
    one_step(lambda s, f: s.reduced((s.values * (draws(s, f) > 2**52)).sum(0)))


def one_draw_for_all():
    one_step(lambda s, f: s.reduced(s.values.sum(0) * (f.seed % 7)), random=True)


def draws_by_unit():
    def apply(stack, facts):
        generator = torch.Generator().manual_seed(facts.seed + len(facts.leaf))
        return stack.reduced(stack.values.mean(0) * torch.rand(stack.values.shape[1:], generator=generator))

    one_step(apply, random=True)


def flattened():
    one_step(lambda s, f: s.reduced(s.values.mean(0).reshape(-1)))


def always_float32():
    one_step(lambda s, f: s.reduced(s.values.mean(0).float()))


def always_float64():
    one_step(lambda s, f: s.reduced(s.values.double().mean(0)))


def divided_by_zero():
    one_step(lambda s, f: s.reduced((s.values * s.values.abs()).sum(0) / s.values.abs().sum(0)))


def moves_the_base():
    one_step(lambda s, f: s.reduced(s.values.mean(0) + 1), **TASK)


def overflows():
    one_step(lambda s, f: s.reduced((s.values**3).sum(0) / (1 + (s.values**2).sum(0))))


def in_place():
    one_step(lambda s, f: s.reduced(s.values.mul_(1.0 + 1e-3).mean(0)))


def base_in_place():
    def apply(stack, _facts):
        stack.base.add_(1)
        return stack.reduced(stack.values.mean(0))

    one_step(apply, **TASK)


def twins():
    method("twin", **PLAIN)(by_size_twin)
    one_step(by_size().apply)


def by_size_twin() -> Chain:
    """Twin."""
    return chain(by_size())


BROKEN = {
    "card_tells_the_truth": (undocumented, false_grain, task_vectors_without_base),
    "optouts_are_few": (three_optouts, no_reason),
    "bad_parameter_is_named": (miscounted, misnamed),
    "declared_ranges_hold": (false_range, nan_at_the_bound),
    "variants_build": (impossible_variant,),
    "self_merge_is_identity": (sum_of_all,),
    "model_order_is_irrelevant": (first_only,),
    "slices_equal_whole": (largest_of_the_unit, lost_state, float32_sums),
    "populations_do_not_depend_on_order": (first_leaf_only,),
    "same_seed_same_bits": (global_draws, random_in_name_only, undeclared_draws),
    "draws_belong_to_their_place": (one_draw_for_all, draws_by_unit),
    "dtype_and_shape_survive": (flattened, always_float64),
    "float64_is_accepted": (always_float32,),
    "zeros_give_finite": (divided_by_zero, moves_the_base),
    "finite_stays_finite": (overflows,),
    "inputs_are_not_changed": (in_place, base_in_place),
    "results_are_distinct": (twins,),
}
