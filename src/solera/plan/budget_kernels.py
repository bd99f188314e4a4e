"""The same questions as `budget_chains` asks of steps, answered by a call's fused kernel, without torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from solera.ops.kernels import FusedKernel, Leaf, SummaryPass
from solera.ops.kernels.program import Ending
from solera.ops.kernels.recipe import Of, Order
from solera.plan.budget_values import Ranks
from solera.types import DType, Scope


def unranked(kernel: FusedKernel) -> int | None:
    """The first step that needs something else than ranks of the task vectors' own magnitudes."""
    return next((one.step for one in kernel.passes if _order(kernel, one) is None), None)


def ranked(kernel: FusedKernel) -> Iterator[tuple[int, Scope, Ranks]]:
    """(step, scope, ranks) of the thresholds that sketches give."""
    for one in kernel.passes:
        order = _order(kernel, one)
        if order is not None:
            yield one.step, one.scope, order.ranks


def _order(kernel: FusedKernel, one: SummaryPass) -> Order | None:
    wants = kernel.recipe.stages[one.step].wants
    return wants if isinstance(wants, Order) and wants.of is Of.MODELS and one.step == 0 and kernel.delta else None


def leaves_base(kernel: FusedKernel) -> bool:
    """Try it on models that are the base: what is not read must come out as the base."""
    base, out = np.linspace(-1, 1, 32, dtype=np.float32), np.zeros(32, np.float32)
    blocks = [base.copy() for _ in range(kernel.models)]
    names = tuple(f"model#{k}" for k in range(kernel.models))
    based = kernel.delta or kernel.recipe.base_as_operand
    dtypes = [DType.F32] * (kernel.models + int(based))
    bad = kernel.write(base if based else None, blocks, dtypes, _zeros(kernel), out, DType.F32, 0,
                       Leaf((4, 8), "probe", names))  # fmt: skip
    return bad is None and bool(np.allclose(out, base, rtol=1e-5, atol=1e-6))


def _zeros(kernel: FusedKernel) -> list[object]:
    """What the ranks are of task vectors that are zero."""
    found: list[object] = [None] * len(kernel.recipe.stages)
    for step, _, ranks in ranked(kernel):
        found[step] = tuple((0.0,) * len(ranks(k, 32, 0)) for k in range(kernel.models))
    return found


def coefficients(kernel: FusedKernel) -> tuple[float, ...] | None:
    """c_k where the result is a sum with fixed coefficients; else None."""
    if kernel.passes or kernel.recipe.by_row is not None or kernel.recipe.base_as_operand:
        return None
    bound = kernel.bind([None] * len(kernel.recipe.stages), Leaf((4, 8), "probe"))
    if bound.ops.codes.size or bound.ends.ending != Ending.WEIGHTED:
        return None
    divisor, factor = map(float, bound.ends.scalars[:2])
    return tuple(float(share) / divisor * factor for share in bound.ends.shares)
