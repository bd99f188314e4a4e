"""Methods by name, as recipes of stages. Parameters and defaults are those of the methods themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from solera.ops.kernels import coefficients
from solera.ops.kernels.coefficients import Coefficients
from solera.ops.kernels.program import Code, Ending, Op, Reduction
from solera.ops.kernels.recipe import CellSums, Changed, Found, LeafFacts, Of, Order, Recipe, Stage, Then
from solera.ops.kernels.sparse_methods import (
    breadcrumbs,
    breadcrumbs_ties,
    dare_linear,
    dare_ties,
    della,
    della_linear,
)
from solera.ops.kernels.stages import (
    NOTHING,
    Floats,
    Shares,
    added,
    averaged,
    chained,
    elect,
    restore_l1,
    spread,
    trim,
    weigh,
)
from solera.types import ROWS, Scope


def linear(models: int, *, weight: Shares = 1.0, normalize: bool = True) -> Recipe:
    """Weighted average."""
    return Recipe((NOTHING, NOTHING), added(spread(weight, models), normalize=normalize))


def task_arithmetic(models: int, *, weight: Shares = 1.0, lambda_: float = 1.0, normalize: bool = False) -> Recipe:
    """Weighted sum of task vectors."""
    return Recipe((NOTHING, NOTHING), added(spread(weight, models), normalize=normalize, factor=lambda_))


def ties(
    models: int,
    *,
    weight: Shares = 1.0,
    density: Shares = 0.2,
    lambda_: float = 1.0,
    normalize: bool = True,
    rescale: bool = False,
    scope: str = "population",
    boundary: str = "exact",
    keep_one: bool = False,
    vote: str = "mass",
    zero: str = "drop",
    weighted_vote: bool = True,
    divide: str = "weights",
) -> Recipe:
    """Trim, elect, merge."""
    weights = spread(weight, models)
    kept = trim(density, models, boundary=boundary, scope=scope, keep_one=keep_one)
    ones = (1.0,) * models
    shares = weights if weighted_vote and divide == "weights" else ones
    later = () if weighted_vote else weights
    return Recipe(
        chained(
            restore_l1(kept, models) if rescale and kept else kept,
            weigh(weights) if weighted_vote else None,
            elect(vote, zero),
        ),
        averaged(shares, later, divide=normalize, factor=lambda_),
    )


def sce(models: int, *, select_topk: float = 1.0, select: str = "all", least: float = 0.0) -> Recipe:
    """Select, calculate, erase."""
    everywhere = select == "all"
    selected = _select_varied(select_topk) if select_topk < 1 else None
    energy = 1 if selected and everywhere else 0

    def shares(finished: Sequence[Found], facts: LeafFacts) -> Floats:
        found = finished[energy][1] if selected and not everywhere else finished[energy]
        return _energy_shares(found.get("squares", ()), facts, least, models)

    def weighed(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        return (Op(Code.SCALE, shares(finished, facts)),)

    def ending(finished: Sequence[Found], facts: LeafFacts) -> Reduction:
        return Reduction(Ending.DISJOINT, shares(finished, facts), small=least, instead=least or 1.0)

    sums = CellSums(2, ("squares",))
    if selected and not everywhere:
        assert isinstance(selected.wants, Order)
        noted = Stage(wants=Then(selected.wants, sums), inner=selected.ops)
    else:
        noted = Stage(wants=sums)
    return Recipe(chained(selected if everywhere else None, noted, elect(), Stage(weighed)), ending)


def ram(models: int, *, epsilon: float = 1e-5) -> Recipe:  # noqa: ARG001
    """Average over the models that changed an entry."""
    reduction = Reduction(Ending.CHANGED, small=epsilon, instead=0.0)
    return Recipe((NOTHING,), lambda finished, facts: reduction)  # noqa: ARG005


def ramplus_tl(
    models: int,  # noqa: ARG001
    *,
    epsilon: float = 1e-5,
    r: float = 0.1,
    alpha: float = 0.2,
    scope: str = "tensor",
) -> Recipe:
    """The same, entries of one model enlarged."""

    def ending(finished: Sequence[Found], facts: LeafFacts) -> Reduction:  # noqa: ARG001
        counts = zip(finished[0]["shared"], finished[0]["unique"], strict=True)
        ratios = [shared / unique if unique else alpha for shared, unique in counts]
        factors = [1.0 + r * min(ratio, alpha) for ratio in ratios]
        return Reduction(Ending.CHANGED, factors, small=epsilon, instead=1.0)

    return Recipe((Stage(wants=Changed(epsilon, Scope(scope))),), ending)


def nearswap(models: int, *, t: float) -> Recipe:  # noqa: ARG001
    """Interpolate from the base by closeness."""
    reduction = Reduction(Ending.NEAR, small=t)
    return Recipe((NOTHING,), lambda finished, facts: reduction, base_as_operand=True)  # noqa: ARG005


def arcee_fusion(models: int) -> Recipe:  # noqa: ARG001
    """Take over what stands out by its importance."""

    def ranks(row: int, elements: int, nonzero: int) -> tuple[int, ...]:  # noqa: ARG001
        return tuple(int(quantile * (elements - 1)) for quantile in (0.25, 0.5, 0.75))

    def ending(finished: Sequence[Found], facts: LeafFacts) -> Reduction:  # noqa: ARG001
        first, median, third = finished[0][0] if finished[0] else (0.0, 0.0, 0.0)
        return Reduction(Ending.IMPORTANT, small=median + 1.5 * (third - first))

    stage = Stage(wants=Order(ranks, of=Of.IMPORTANCE))
    return Recipe((stage,), ending, base_as_operand=True, grain=ROWS)


def combined(find: Coefficients, *, base_as_operand: bool = False) -> Recipe:
    """Add the operands with coefficients from their inner products."""

    def ending(finished: Sequence[Found], facts: LeafFacts) -> Reduction:  # noqa: ARG001
        return Reduction(Ending.WEIGHTED, tuple(find(finished[0])) if finished[0] else ())

    return Recipe((Stage(wants=CellSums(1)),), ending, base_as_operand)


def combined_by_row(find: Coefficients) -> Recipe:
    """Add the operands, every row with coefficients of its own."""
    reduction = Reduction(Ending.BY_ROW)
    return Recipe((NOTHING,), lambda finished, facts: reduction, grain=ROWS, by_row=find)  # noqa: ARG005


def nuslerp(models: int, *, weight: Shares = 1.0, flatten: bool = True, row_wise: bool = False) -> Recipe | None:
    """Between two models by weights; along columns there is no kernel."""
    find = coefficients.nuslerp(models, weight=weight)
    if flatten:
        return combined(find)
    return None if row_wise else combined_by_row(find)


def model_stock(
    models: int, *, filter_wise: bool = False, average: str = "cosine", clamp: bool = False, least_product: float = 0.0
) -> Recipe:
    """Towards the mean of the models, tensor by tensor or row by row."""
    find = coefficients.model_stock(models, average=average, clamp=clamp, least_product=least_product)
    return combined_by_row(find) if filter_wise else combined(find)


def _select_varied(share: float) -> Stage:
    def ranks(row: int, elements: int, nonzero: int) -> tuple[int, ...]:  # noqa: ARG001
        return (elements - int(share * nonzero),)

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        return (Op(Code.SELECT, (finished[step][0][0],)),)

    return Stage(ops, Order(ranks, of=Of.VARIANCE))


def _energy_shares(squares: Floats, facts: LeafFacts, least: float, models: int) -> Floats:
    means = [square / math.prod(facts.shape) for square in squares]
    whole = sum(means)
    if whole < least or whole == 0:
        return (1.0 / models,) * models
    return tuple(mean / whole for mean in means)


def _spherical(find: Callable[..., Coefficients], **options: Any) -> Callable[..., Recipe]:
    def make(models: int, **parameters: Any) -> Recipe:
        return combined(find(models, **parameters), **options)

    return make


METHODS: dict[str, Callable[..., Recipe | None]] = {
    "linear": linear,
    "task_arithmetic": task_arithmetic,
    "ties": ties,
    "dare_linear": dare_linear,
    "dare_ties": dare_ties,
    "della": della,
    "della_linear": della_linear,
    "breadcrumbs": breadcrumbs,
    "breadcrumbs_ties": breadcrumbs_ties,
    "sce": sce,
    "ram": ram,
    "ramplus_tl": ramplus_tl,
    "nearswap": nearswap,
    "slerp": _spherical(coefficients.slerp, base_as_operand=True),
    "nuslerp": nuslerp,
    "multislerp": _spherical(coefficients.multislerp),
    "karcher": _spherical(coefficients.karcher),
    "model_stock": model_stock,
    "arcee_fusion": arcee_fusion,
}
"""Name -> recipe maker; each takes the number of models and the method's parameters."""

__all__ = ["METHODS"]
