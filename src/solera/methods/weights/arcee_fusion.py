"""Take over only the changes that matter most to the row they are in.

Source: no paper; the method of this name in arcee-ai/mergekit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.elementary import exponential, logarithm
from solera.ops.order import OrderStatistics, at_least, magnitude
from solera.ops.reduce import as_rows, tree_sum
from solera.registry import method
from solera.types import ROWS, WEIGHT, NumericClass

SMOOTHING = 1e-8
"""Added to every probability."""


@method(
    "arcee_fusion",
    space=WEIGHT >> WEIGHT,
    grain=ROWS,
    symmetric=False,
    numeric=NumericClass.EXACT,
    version=2,
    base="required",
    models=(1, 1),
    code="github.com/arcee-ai/mergekit",
    variants={"mergekit": {}},
    parity="mergekit 0.1.5, tensors of at most 1,000,000 elements",
)
def arcee_fusion() -> Chain:
    """Replace the base's entries by the model's where their importance stands out.

    out = x where i >= median(i) + 1.5 (q3(i) - q1(i)), else base,  i = |x - base| * KL(softmax(x) || softmax(base))

    Softmax and divergence are taken along the last axis (a vector is one row), with 1e-8 added to every probability.
    Quartiles are entries of the sorted importances of the tensor, at int(q (n - 1)).

    Differs:
        Quartiles are exact for every size; mergekit sorts a random million of the entries of larger tensors.
        The divergence is taken in float64; in float32, as in mergekit, close rows leave mostly rounding.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> base = torch.zeros(5)
        >>> stack = as_stack(torch.tensor([0.1, -0.2, 0.3, 0.4, 2.0]), base=base)
        >>> run_whole(arcee_fusion(), stack, Facts(shape=(5,)))
        tensor([0., 0., 0., 0., 2.])
    """
    return chain(take_important())


def take_important() -> Step:
    """Move the base to the operand where the importance is not below median + 1.5 interquartile ranges.

    Shape: (1, *unit) -> (1, *unit)
    """

    def ranks(row: int, elements: int, nonzero: int) -> tuple[int, ...]:  # noqa: ARG001
        return tuple(int(quantile * (elements - 1)) for quantile in (0.25, 0.5, 0.75))

    def apply(stack: Stack, facts: Facts) -> Stack:
        if stack.values.numel() == 0:
            return stack
        first, median, third = facts.summary[0]
        important = at_least(importance(stack, facts), [median + 1.5 * (third - first)]).reshape(stack.values.shape)
        assert stack.base is not None
        return stack.but(stack.base + torch.where(important, stack.values - stack.base, 0.0))

    return Step("take_important", apply, OrderStatistics(ranks, importance), ROWS)


def importance(stack: Stack, facts: Facts) -> Tensor:
    """|x - base| times the divergence of its row: (1, elements), as float32."""
    assert stack.base is not None
    here, there = as_rows(stack.values, facts)[0], as_rows(stack.base.unsqueeze(0), facts)[0]
    p, q = _probabilities(here), _probabilities(there)
    divergence = tree_sum(p * logarithm(p / q)).clamp(min=0.0)
    return magnitude((here - there).abs() * divergence.unsqueeze(-1)).reshape(1, -1)


def _probabilities(rows: Tensor) -> Tensor:
    wide = rows.to(torch.float64)
    powers = exponential(wide - wide.amax(-1, keepdim=True)) if wide.numel() else wide
    return powers / tree_sum(powers).unsqueeze(-1) + SMOOTHING
