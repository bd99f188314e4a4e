"""The steps that kernels know, as stages: the arithmetic of `ops.sparsify` and its siblings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from solera.ops.kernels.program import Code, Ending, Op, Reduction
from solera.ops.kernels.recipe import (
    Ballot,
    CellSums,
    Found,
    LeafFacts,
    Order,
    Stage,
    Then,
    draw_key,
    model_ids,
)
from solera.types import Scope

SMALL_SUM = 1e-8
SMALL_NORM = 1e-7
DRAW_BITS = 53

NOTHING = Stage()
"""A step that only the reduction knows."""

Shares = float | Sequence[float]
Floats = tuple[float, ...]


def spread(value: Shares, models: int) -> Floats:
    """One number per model.

    Raises:
        ValueError: there are not as many as models; the step says it in full.
    """
    if isinstance(value, (int, float)):
        return (float(value),) * models
    if len(value) != models:
        raise ValueError(value)
    return tuple(float(v) for v in value)


def all_kept(shares: Shares) -> bool:
    """Whether every share is 1."""
    return all(share >= 1 for share in (shares if isinstance(shares, Sequence) else [shares]))


def trim(
    density: Shares, models: int, *, boundary: str = "exact", scope: str = "tensor", keep_one: bool = False
) -> Stage | None:
    """Keep the largest magnitudes; None where all stay."""
    if all_kept(density):
        return None
    shares, extra = spread(density, models), int(boundary == "kth")

    def ranks(row: int, elements: int, nonzero: int) -> tuple[int, ...]:  # noqa: ARG001
        share = shares[row]
        least = 1 if keep_one and share > 0 else 0
        return (-1,) if share >= 1 else (elements - max(int(share * elements), least) - extra,)

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        return (Op(Code.KEEP, [found[0] for found in finished[step]], (math.inf,) * models),)

    return Stage(ops, Order(ranks, Scope(scope)), ops)


def keep_band(density: Shares, gamma: Shares, models: int) -> Stage | None:
    """Zero the largest and the smallest magnitudes; None where all stay."""
    if all_kept(density):
        return None
    shares, tops = spread(density, models), spread(gamma, models)

    def ranks(row: int, elements: int, nonzero: int) -> tuple[int, ...]:  # noqa: ARG001
        if shares[row] >= 1:
            return (-1, elements - 1)
        keep, top = int(shares[row] * elements), int(tops[row] * elements)
        bottom = elements - keep - top
        bottom, top = (bottom, top) if bottom >= 0 else (0, top + bottom)
        return (elements, -1) if bottom >= elements - top else (bottom, elements - top - 1)

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        return (Op(Code.KEEP, [band[0] for band in finished[step]], [band[1] for band in finished[step]]),)

    return Stage(ops, Order(ranks), ops)


def keep_row_band(density: Shares, gamma: Shares, models: int) -> Stage:
    """Zero the largest and the smallest magnitudes of every row."""
    pairs = list(zip(spread(density, models), spread(gamma, models), strict=True))

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        if not facts.shape:
            return ()
        length = facts.shape[-1]
        tops = [int(gone * length) for _, gone in pairs]
        bottoms = [max(length - int(share * length) - top, 0) for (share, _), top in zip(pairs, tops, strict=True)]
        return (Op(Code.ROW_BAND, (), wide=(bottoms, [length - 1 - top for top in tops])),)

    return Stage(ops, None, ops)


def drop_by_rank(density: Shares, epsilon: Shares, models: int, *, inverse: bool) -> Stage:
    """Keep entries by chance, the likelier the higher their magnitude ranks in the row."""
    pairs = list(zip(spread(density, models), spread(epsilon, models), strict=True))

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        length = facts.shape[-1] if facts.shape else 1
        lines = [_line(share, half, length) for share, half in pairs]
        wide = ([slope for slope, _ in lines], [offset for _, offset in lines], [float(inverse)] * models)
        keys = [draw_key(facts, step, model) for model in model_ids(facts, models)]
        return (Op(Code.ROW_DROP, (), keys=keys, wide=wide),)

    return Stage(ops, None, ops)


def _line(density: float, epsilon: float, length: int) -> tuple[float, float]:
    """Slope and offset of the probability as a function of the rank."""
    if density >= 1 or density <= 0 or length == 1:
        return 0.0, min(max(density, 0.0), 1.0)
    return 2 * epsilon / (length - 1), density - epsilon


def drop(density: Shares, models: int, *, inverse: bool) -> Stage:
    """Keep entries by chance."""
    shares = [min(max(share, 0.0), 1.0) for share in spread(density, models)]
    bars = [int(share * 2.0**DRAW_BITS) for share in shares]
    factors = [share if inverse and share > 0 else 1.0 for share in shares]

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        keys = [draw_key(facts, step, model) for model in model_ids(facts, models)]
        return (Op(Code.DROP, factors, keys=keys, bars=bars),)

    return Stage(ops, None, ops)


def restore_l1(stage: Stage, models: int) -> Stage:
    """The stage, then every model scaled back to the sum of magnitudes that it had."""
    order = stage.wants if isinstance(stage.wants, Order) else None
    sums = CellSums(0, ("before", "after"), order.scope if order else Scope.TENSOR)

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:
        found, norms = finished[step] if order else (None, finished[step])
        return (*stage.ops(at(step, found), facts, step), Op(Code.SCALE, _ratios(norms, models)))

    return replace(stage, ops=ops, wants=Then(order, sums) if order else sums)


def at(step: int, found: Found) -> tuple[Found, ...]:
    """A finding alone, at its step."""
    return (None,) * step + (found,)


def weigh(weights: Floats) -> Stage:
    """Multiply every model by its coefficient."""
    return Stage(lambda finished, facts, step: (Op(Code.SCALE, weights),))  # noqa: ARG005


def elect(vote: str = "mass", zero: str = "plus") -> Stage:
    """Elect a sign per entry."""
    by_count = vote == "count"

    def ops(finished: Sequence[Found], facts: LeafFacts, step: int) -> tuple[Op, ...]:  # noqa: ARG001
        even = {"plus": 1.0, "drop": 0.0}.get(zero)
        if even is None:
            even = 1.0 if finished[step]["plus"][0] > finished[step]["minus"][0] else -1.0
        return (Op(Code.ELECT, (float(by_count),), (even,)),)

    return Stage(ops, Ballot(by_count) if zero == "majority" else None)


def added(weights: Floats, *, normalize: bool, factor: float = 1.0) -> Callable[..., Reduction]:
    """Weigh and add, as one reduction."""
    whole = sum(weights)
    divisor = whole if normalize and abs(whole) > SMALL_SUM else 1.0
    reduction = Reduction(Ending.WEIGHTED, weights, divisor=divisor, factor=factor)
    return lambda finished, facts: reduction  # noqa: ARG005


def averaged(shares: Floats, later: Floats = (), *, divide: bool, factor: float) -> Callable[..., Reduction]:
    """Average over the models that are not 0."""
    if divide:
        reduction = Reduction(Ending.DISJOINT, shares, later, factor=factor, small=SMALL_SUM)
    else:
        reduction = (
            Reduction(Ending.WEIGHTED, later, factor=factor) if later else Reduction(Ending.TOTAL, factor=factor)
        )
    return lambda finished, facts: reduction  # noqa: ARG005


def chained(*stages: Stage | None) -> tuple[Stage, ...]:
    """Stages in order, without those that are none."""
    return tuple(stage for stage in stages if stage is not None)


def _ratios(norms: Any, models: int) -> list[float]:
    ones = (0.0,) * models
    pairs = zip(norms.get("before", ones), norms.get("after", ones), strict=True)
    return [1.0 if min(before, after) < SMALL_NORM else before / after for before, after in pairs]
