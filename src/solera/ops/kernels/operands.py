"""The operands of a block, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from solera.ops.kernels.formats import first_nonfinite, raw
from solera.ops.kernels.program import Inputs
from solera.ops.kernels.recipe import Recipe
from solera.types import DType

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


def inputs_of(
    recipe: Recipe, base: Block | None, blocks: Sequence[Block], dtypes: Sequence[DType], delta: bool
) -> Inputs:
    """The operands of a block as the loops take them."""
    takes_base = base is not None and (delta or recipe.base_as_operand)
    operands = (base, *blocks) if base is not None and takes_base else tuple(blocks)
    types = tuple(dtypes) if len(dtypes) == len(operands) else tuple(dtypes)[len(dtypes) - len(operands) :]
    return Inputs(tuple(raw(b, d) for b, d in zip(operands, types, strict=True)), types, delta)


def bad_input(inputs: Inputs, start: int, first: int) -> Bad:
    """The first element that is not finite, among inputs that have one."""
    for position, (bits, dtype) in enumerate(zip(inputs.bits, inputs.dtypes, strict=True)):
        if (index := first_nonfinite(bits, dtype)) >= 0:
            return Bad(position - first, start + index)
    msg = "an input was found not finite, and then was"
    raise AssertionError(msg)
