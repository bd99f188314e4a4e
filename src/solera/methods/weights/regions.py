"""Parts of one model's tensors taken from another: by place, or by rank.

Source: no paper; "tensor" of hako-mikan/sd-webui-supermerger, `tensor_sum` and `top_k_tensor_sum` of ljleb/sd-mecha.
"""

from __future__ import annotations

import math

import torch

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.order import magnitude
from solera.registry import Fraction, method
from solera.types import ELEMENT, TENSOR, WEIGHT, NumericClass

CODE = "github.com/ljleb/sd-mecha"


@method(
    "tensor_sum",
    space=WEIGHT >> WEIGHT,
    grain=ELEMENT,
    symmetric=False,
    numeric=NumericClass.EXACT,
    models=(2, 2),
    code=CODE,
    parity="sd-mecha@b8d4d88 (tensor_sum) to 1e-6",
)
def tensor_sum(width: Fraction = 0.5, offset: Fraction = 0.0) -> Chain:
    """Take a run of rows from the second model, all others from the first.

    out = b in the rows from offset n to (offset + width) n, which wrap around, else a

    Rows are places along the first axis, n of them; the ends are rounded. A single number is taken from the second
    model where the width is above 0.5.

    Args:
        width: share of the rows taken from the second model.
        offset: where they begin, as a share of the rows.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> stack = as_stack(torch.zeros(4), torch.ones(4))
        >>> run_whole(tensor_sum(offset=0.75), stack, Facts(shape=(4,)))
        tensor([1., 0., 0., 1.])
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        first, second = stack.values
        if not facts.shape:
            return stack.reduced(second if width > 0.5 else first)
        index = torch.arange(facts.start, facts.start + first.numel(), device=first.device).reshape(first.shape)
        row = index // max(math.prod(facts.shape[1:]), 1)
        start, stop, outside = region(width, offset, facts.shape[0])
        inside = (row >= start) & (row < stop)
        return stack.reduced(torch.where(inside ^ outside, second, first))

    return chain(Step("take_rows", apply, parameters={"width": width, "offset": offset}))


@method(
    "top_k_tensor_sum",
    space=WEIGHT >> WEIGHT,
    grain=TENSOR,
    symmetric=False,
    numeric=NumericClass.EXACT,
    models=(2, 2),
    code=CODE,
    parity="sd-mecha@b8d4d88 (top_k_tensor_sum) to 1e-6",
)
def top_k_tensor_sum(width: Fraction = 1.0, offset: Fraction = 0.0) -> Chain:
    """Put the first model's values in the second model's order.

    out = the r-th smallest value of a where b has its r-th smallest one, if that value is chosen, else a

    Values are chosen by magnitude: those between the offset n-th and the (offset + width) n-th smallest magnitude of a.
    At full width, the tensor has the values of the first model and the ranks of the second.

    Args:
        width: share of the values that are chosen.
        offset: where they begin, as a share of the values by magnitude; the share wraps around.

    Differs:
        Equal values of the second model are ranked by position.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> stack = as_stack(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0, 0.0, 1.0]))
        >>> run_whole(top_k_tensor_sum(), stack, Facts(shape=(3,)))
        tensor([3., 1., 2.])
    """

    def apply(stack: Stack, facts: Facts) -> Stack:  # noqa: ARG001
        first, second = (value.reshape(-1) for value in stack.values)
        if first.numel() == 0:
            return stack.reduced(stack.values[0])
        ordered = first.sort().values
        ranks = second.argsort(stable=True).argsort()
        start, stop, outside = region(width, offset, first.numel())
        size = magnitude(ordered)
        marks = size.sort().values
        chosen = (size >= _mark(marks, start)) & (size <= _mark(marks, stop))
        result = torch.where((chosen ^ outside)[ranks], ordered[ranks], first)
        return stack.reduced(result.reshape(stack.values[0].shape))

    return chain(Step("take_ranks", apply, grain=TENSOR, parameters={"width": width, "offset": offset}))


def region(width: float, offset: float, length: int) -> tuple[int, int, bool]:
    """First and last place (exclusive) of a run that may wrap around; True where the run is what lies outside them.

    Example:
        >>> region(0.5, 0.0, 4), region(0.5, 0.75, 4)
        ((0, 2, False), (1, 3, True))
    """
    offset = math.fmod(offset, 1.0)
    if width + offset <= 1:
        return round(offset * length), round((width + offset) * length), False
    return round((width + offset - 1) * length), round(offset * length), True


def _mark(marks: torch.Tensor, place: int) -> torch.Tensor:
    """The magnitude at a place counted from 1; below all of them for 0."""
    return marks[place - 1] if place > 0 else marks.new_full((), -1.0)
