"""A method's kernel: what it has to find out first, and how it writes a block."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from solera.ops.kernels import engine
from solera.ops.kernels.coefficients import NoKernelError
from solera.ops.kernels.finding import SummaryPass
from solera.ops.kernels.formats import FORMATS, OUTPUTS, first_nonfinite
from solera.ops.kernels.methods import METHODS
from solera.ops.kernels.operands import Bad, Block, bad_input, inputs_of
from solera.ops.kernels.passes import row_coefficients
from solera.ops.kernels.program import UNSEEN, Divergences, Ends, Inputs, Kept, Packed, known_of, pack, pack_reduction
from solera.ops.kernels.recipe import Found, LeafFacts, Of, Order, Recipe
from solera.types import DType, Grain


@dataclass(frozen=True, slots=True)
class Bound:
    """A kernel with everything found, for one leaf: writing a block prepares nothing more."""

    recipe: Recipe
    delta: bool
    ops: Packed
    ends: Ends
    known: Divergences
    unrolled: engine.Unrolled | None = None
    kept: Kept | None = None

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
        inputs = inputs_of(self.recipe, base, blocks, dtypes, self.delta)
        if inputs.elements == 0:
            return None
        target = out.reshape(-1).view(f"i{out_dtype.itemsize}")
        ends = self._ends(inputs, start)
        if ends is None:
            return bad_input(inputs, start, len(inputs.bits) - len(blocks))
        known = known_of(self.known, start, inputs.elements, self.ops.row)
        code = engine.write(inputs, self.ops, ends, start, target, out_dtype, self.unrolled, self.kept, known)
        if code == 0:
            return None
        if code == 1:
            return bad_input(inputs, start, len(inputs.bits) - len(blocks))
        return Bad(-2, start + first_nonfinite(target, out_dtype))

    def _ends(self, inputs: Inputs, start: int) -> Ends | None:
        """The reduction, with the coefficients of this block's rows; None for an input that is not finite."""
        if self.recipe.by_row is None:
            return self.ends
        found = row_coefficients(self.recipe.by_row, inputs, self.ops, start)
        return None if found is None else replace(self.ends, shares=found)


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

    @property
    def grain(self) -> Grain:
        """What blocks must be: any slices that begin at cells, or whole rows."""
        return self.recipe.grain

    def supports(self, dtypes: Sequence[DType], out: DType) -> bool:
        """Whether these element types can be read and written."""
        return out in OUTPUTS and all(dtype in FORMATS for dtype in dtypes)

    def unseen(self, facts: LeafFacts) -> Divergences:
        """Room for the divergences of a leaf's rows, 8 bytes a row; none where no step ranks by them."""
        wanted = (stage.wants for stage in self.recipe.stages)
        if not any(isinstance(wants, Order) and wants.of is Of.IMPORTANCE for wants in wanted):
            return UNSEEN
        return known_of(UNSEEN, 0, math.prod(facts.shape), self.recipe.row(facts))

    def bind(
        self, finished: Sequence[Found], facts: LeafFacts, kept: Kept | None = None, known: Divergences = UNSEEN
    ) -> Bound:
        """Prepare for one leaf; `finished[i]` is what step i found, None where it has nothing to find.

        What is `kept` is used where it stands for the first operations; what is `known` of rows is not found again.
        """
        models = self.models + int(self.recipe.base_as_operand)
        ops = [op for i, stage in enumerate(self.recipe.stages) for op in stage.ops(finished, facts, i)]
        ends = pack_reduction(self.recipe.ending(finished, facts), models)
        packed = pack(ops, models, self.recipe.row(facts))
        kept = kept if kept is not None and tuple(ops[: len(kept.ops)]) == kept.ops else None
        unrolled = engine.unrolled_form(packed, ends, delta=self.delta)
        return Bound(self.recipe, self.delta, packed, ends, known, unrolled, kept)

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
            start: index of the first element in the leaf; the beginning of a row where the grain is ROWS.
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
