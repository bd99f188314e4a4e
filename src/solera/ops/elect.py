"""Steps of sign election: entries that disagree with the elected sign leave, the rest is averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from solera.ops.contract import Facts, Stack, Step
from solera.ops.fold import per_model, spread, total
from solera.ops.summaries import Counts
from solera.types import Scope

Vote = Literal["mass", "count"]
ZeroVote = Literal["plus", "drop", "majority"]
Divide = Literal["weights", "count", "none"]


def elect_sign(vote: Vote = "mass", *, zero: ZeroVote = "plus") -> Step:
    """Elect one sign per entry and zero the operands that disagree; an operand that is 0 never agrees.

    Shape: (models, *unit) -> (models, *unit)

    Args:
        vote: ``mass`` adds the values, ``count`` adds their signs.
        zero: what an even vote elects: ``plus``; ``drop`` nobody; ``majority`` the sign that most entries of the
            whole population elected (minus, where that is even too).

    Example:
        >>> from solera.ops.contract import as_stack
        >>> stack = as_stack(torch.tensor([3.0, 1.0]), torch.tensor([-1.0, -2.0]))
        >>> elect_sign()(stack, Facts(shape=(2,))).values.tolist()
        [[3.0, 0.0], [0.0, -2.0]]
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        elected = torch.sign(_votes(stack.values, vote))
        if zero != "drop":
            elected = torch.where(elected == 0, _even(zero, facts), elected)
        agrees = torch.sign(stack.values) * elected > 0
        return stack.but(torch.where(agrees, stack.values, 0.0))

    return Step(
        "elect_sign", apply, _ballot(vote) if zero == "majority" else None, parameters={"vote": vote, "zero": zero}
    )


def disjoint_mean(
    divide: Divide = "weights",
    *,
    weight: float | Sequence[float] | None = None,
    small: float = 1e-8,
    instead: float = 1.0,
) -> Step:
    """Average, entry by entry, over the operands that are not 0 there.

    Shape: (models, *unit) -> (1, *unit)

    Args:
        divide: by the ``weights`` noted for those operands (1 each where none are noted), by their ``count``, or by
            ``none``: then the result is the sum.
        weight: coefficients that still have to be applied to the operands, after counting.
        small: a divisor no larger than this (in magnitude) is replaced ...
        instead: ... by this.

    Example:
        >>> from solera.ops.contract import as_stack
        >>> stack = as_stack(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0]))
        >>> disjoint_mean()(stack, Facts(shape=(2,))).values.tolist()
        [[2.0, 0.0]]
    """

    def apply(stack: Stack, facts: Facts) -> Stack:  # noqa: ARG001
        values = (
            stack.values if weight is None else stack.values * per_model(spread(weight, stack.models), stack.values)
        )
        if divide == "none":
            return stack.reduced(total(values))
        shares = spread(1.0 if divide == "count" or stack.weights is None else stack.weights, stack.models)
        taking = (stack.values != 0).to(stack.values.dtype) * per_model(shares, stack.values)
        divisor = total(taking)
        return stack.reduced(total(values) / torch.where(divisor.abs() <= small, instead, divisor))

    return Step(
        "disjoint_mean", apply, parameters={"divide": divide, "weight": weight, "small": small, "instead": instead}
    )


def _votes(values: Tensor, vote: Vote) -> Tensor:
    return total(values if vote == "mass" else torch.sign(values))


def _even(zero: ZeroVote, facts: Facts) -> float:
    if zero == "plus":
        return 1.0
    return 1.0 if facts.summary["plus"][0] > facts.summary["minus"][0] else -1.0


def _ballot(vote: Vote) -> Counts:
    def elected(sign: Callable[[Tensor], Tensor], stack: Stack) -> Tensor:
        return sign(_votes(stack.values, vote)).unsqueeze(0)

    return Counts(
        lambda stack, facts: {"plus": elected(lambda v: v > 0, stack), "minus": elected(lambda v: v < 0, stack)},  # noqa: ARG005
        scope=Scope.POPULATION,
    )
