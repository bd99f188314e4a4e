"""Steps that zero part of every operand: by magnitude, by chance, by both, by band; and one that restores its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from solera.errors import BadParameter
from solera.ops.contract import Facts, Stack, Step, Summary
from solera.ops.fold import per_model, spread
from solera.ops.order import OrderStatistics, Rows, at_least, each_model, magnitude
from solera.ops.random import DRAW_BITS, bar, draws
from solera.ops.reduce import as_rows
from solera.ops.summaries import Sequel, Sums
from solera.types import ELEMENT, ROWS, Grain, Scope

Shares = float | Sequence[float]
Boundary = Literal["exact", "kth"]

SMALL_NORM = 1e-7
"""Sums of magnitudes below this are not matched."""


def trim(
    density: Shares,
    *,
    boundary: Boundary = "exact",
    scope: Scope = Scope.TENSOR,
    keep_one: bool = False,
    name: str = "density",
) -> Step | None:
    """Keep the largest-magnitude share of every operand, zero the rest; no step at all where all is kept.

    Equal magnitudes at the threshold all stay. A share that comes to no entry keeps nothing.

    Shape: (models, *unit) -> (models, *unit)
    Cost: two passes that count, whatever the size; no sort.

    Args:
        density: share kept, one for all operands or one for each; 1 keeps all.
        boundary: ``exact`` keeps the int(density * n) largest; ``kth`` what is not below the (n - k)-th smallest, so
            one more.
        scope: n counts the tensor, or the whole population.
        keep_one: a share above 0 keeps at least one entry.
        name: of the share, in messages.

    Example:
        >>> from solera.ops.contract import as_stack, chain, run_whole
        >>> run_whole(chain(trim(0.5)), as_stack(torch.tensor([1.0, -4.0, 3.0, -2.0])), Facts(shape=(4,)))
        tensor([ 0., -4.,  3.,  0.])
    """
    if _all_kept(density):
        return None
    extra = 1 if boundary == "kth" else 0

    def ranks(row: int, elements: int, nonzero: int) -> tuple[int, ...]:  # noqa: ARG001
        share = _of(density, row)
        least = 1 if keep_one and share > 0 else 0
        return (-1,) if share >= 1 else (elements - max(int(share * elements), least) - extra,)

    def apply(stack: Stack, facts: Facts) -> Stack:
        keep = at_least(stack.values, [thresholds[0] for thresholds in facts.summary])
        return stack.but(torch.where(keep, stack.values, 0.0))

    parameters = {"density": density, "boundary": boundary, "scope": scope.value, "keep_one": keep_one}
    return Step("trim", apply, OrderStatistics(ranks, _counted(**{name: density}), scope), parameters=parameters)


def keep_band(density: Shares, gamma: Shares) -> Step | None:
    """Zero the largest and the smallest magnitudes of every tensor; no step at all where all densities are 1.

    Of n entries the int(gamma * n) largest leave, then the smallest until int(density * n) are left. Where that many
    are not left, fewer of the largest leave. Equal magnitudes at either end of the band all stay.

    Shape: (models, *unit) -> (models, *unit)

    Args:
        density: share kept.
        gamma: share of the largest that leaves.

    Example:
        >>> from solera.ops.contract import as_stack, chain, run_whole
        >>> run_whole(chain(keep_band(0.5, 0.25)), as_stack(torch.tensor([1.0, -4.0, 3.0, -2.0])), Facts(shape=(4,)))
        tensor([ 0.,  0.,  3., -2.])
    """
    if _all_kept(density):
        return None

    def ranks(row: int, elements: int, nonzero: int) -> tuple[int, ...]:  # noqa: ARG001
        share = _of(density, row)
        if share >= 1:
            return (-1, elements - 1)
        bottom, top = band(elements, int(share * elements), int(_of(gamma, row) * elements), shrink=True)
        return (elements, -1) if bottom >= elements - top else (bottom, elements - top - 1)

    def apply(stack: Stack, facts: Facts) -> Stack:
        size = magnitude(stack.values)
        low = per_model([band[0] for band in facts.summary], size)
        high = per_model([band[1] for band in facts.summary], size)
        return stack.but(torch.where((size >= low) & (size <= high), stack.values, 0.0))

    parameters = {"density": density, "gamma": gamma}
    return Step(
        "keep_band", apply, OrderStatistics(ranks, _counted(density=density, gamma=gamma)), parameters=parameters
    )


def keep_row_band(density: Shares, gamma: Shares) -> Step:
    """Zero the largest and the smallest magnitudes of every row; a single number stays as it is. One sort per row.

    Of n entries of a row the int(gamma * n) largest leave, then all but the int(density * n) largest of the rest.
    Equal magnitudes at either end of the band all stay.

    Shape: (models, *unit) -> (models, *unit)
    Cost: one sort per row.

    Example:
        >>> from solera.ops.contract import as_stack, chain, run_whole
        >>> stack = as_stack(torch.tensor([1.0, -4.0, 3.0, -2.0]))
        >>> run_whole(chain(keep_row_band(0.5, 0.25)), stack, Facts(shape=(4,)))
        tensor([ 0.,  0.,  3., -2.])
    """

    def one(rows: Tensor, share: float, top_share: float) -> Tensor:
        length = rows.shape[-1]
        bottom, top = band(length, int(share * length), int(top_share * length), shrink=False)
        if bottom >= length - top:
            return torch.zeros_like(rows)
        size = magnitude(rows)
        ordered = size.sort(-1).values
        inside = (size >= ordered[:, bottom : bottom + 1]) & (size <= ordered[:, length - top - 1 : length - top])
        return torch.where(inside, rows, 0.0)

    def apply(stack: Stack, facts: Facts) -> Stack:
        if not facts.shape or stack.values[0].numel() == 0:
            return stack
        shares = _pairs(stack, density=density, gamma=gamma)
        kept = [one(rows, *both) for rows, both in zip(as_rows(stack.values, facts), shares, strict=True)]
        return stack.but(torch.stack(kept).reshape(stack.values.shape))

    return Step("keep_row_band", apply, grain=ROWS, parameters={"density": density, "gamma": gamma})


def band(elements: int, keep: int, top: int, *, shrink: bool) -> tuple[int, int]:
    """How many of the smallest and of the largest leave; with `shrink` the largest make room for `keep`.

    Example:
        >>> band(10, 5, 2, shrink=True), band(10, 9, 2, shrink=True), band(10, 9, 2, shrink=False)
        ((3, 2), (0, 1), (0, 2))
    """
    bottom = elements - keep - top
    if bottom >= 0:
        return bottom, top
    return 0, top + bottom if shrink else top


def drop(density: Shares, *, inverse: bool = False) -> Step:
    """Keep every entry with probability `density`; with `inverse` divide the survivors by it.

    Shape: (models, *unit) -> (models, *unit)

    Example:
        >>> from solera.ops.contract import as_stack
        >>> stack = drop(0.5, inverse=True)(as_stack(torch.ones(10_000)), Facts(shape=(10_000,)))
        >>> sorted(set(stack.values[0].tolist())), round(float(stack.values.mean()), 1)
        ([0.0, 2.0], 1.0)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        shares = [min(max(share, 0.0), 1.0) for share in spread(density, stack.models, name="density")]
        bars = torch.tensor([bar(share) for share in shares], device=stack.values.device)
        keep = draws(stack, facts) < bars.reshape(-1, *[1] * (stack.values.dim() - 1))
        factors = [share if inverse and share > 0 else 1.0 for share in shares]
        return stack.but(torch.where(keep, stack.values, 0.0) / per_model(factors, stack.values))

    return Step("drop", apply, parameters={"density": density, "inverse": inverse})


def drop_by_rank(density: Shares, epsilon: Shares, *, inverse: bool = False) -> Step:
    """Keep every entry with a probability that grows with the rank of its magnitude in its row.

    The probability is (density - epsilon) + 2 epsilon r / (n - 1) with r = 0 for the smallest of n. Magnitudes rank as
    bfloat16 cuts them off (8 binary digits), and what is equal then by position. A row of one keeps its entry with
    probability `density`. With `inverse` survivors are divided by their probability. A density of 1 keeps all, 0 none.

    Shape: (models, *unit) -> (models, *unit)
    Cost: a sort per row; the compiled loops count instead.

    Raises:
        BadParameter: a probability would leave (0, 1).

    Example:
        >>> from solera.ops.contract import as_stack
        >>> keep_probabilities(as_stack(torch.tensor([0.4, 0.2, 0.1, 0.3])).values, 0.6, 0.1)[0].tolist()
        [0.7, 0.5666666666666667, 0.5, 0.6333333333333333]
    """
    _check_window(density, epsilon)

    def apply(stack: Stack, facts: Facts) -> Stack:
        if stack.values[0].numel() == 0:
            return stack
        pairs, rows = _pairs(stack, density=density, epsilon=epsilon), as_rows(stack.values, facts)
        own = [keep_probabilities(row, *pair) for row, pair in zip(rows, pairs, strict=True)]
        share = torch.stack(own).reshape(stack.values.shape)
        keep = draws(stack, facts) < (share * 2.0**DRAW_BITS).to(torch.int64)
        kept = torch.where(keep, stack.values, 0.0)
        return stack.but((kept / torch.where(keep, share, 1.0)).to(kept.dtype) if inverse else kept)

    return Step(
        "drop_by_rank", apply, grain=ROWS, parameters={"density": density, "epsilon": epsilon, "inverse": inverse}
    )


def keep_probabilities(rows: Tensor, density: float, epsilon: float) -> Tensor:
    """Probability of every entry of (..., length) to be kept, in float64."""
    length = rows.shape[-1]
    if density >= 1 or density <= 0 or length == 1:
        return torch.full_like(rows, min(max(density, 0.0), 1.0), dtype=torch.float64)
    order = (magnitude(rows).view(torch.int32) >> 16).argsort(dim=-1, stable=True)
    places = torch.arange(length, device=rows.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, places)
    return rank.to(torch.float64) * (2 * epsilon / (length - 1)) + (density - epsilon)


def restore_l1(step: Step, *, by: Grain = ELEMENT) -> Step:
    """The step, followed by scaling every operand back to the sum of magnitudes that it had before.

    Operands whose sum is below 1e-7 before or after are left as they are.

    Cost: one more pass than the step itself.

    Args:
        step: leaves fewer entries than it is given.
        by: ROWS in a chain that works on whole rows.

    Example:
        >>> from solera.ops.contract import as_stack, chain, run_whole
        >>> step = restore_l1(trim(0.5))
        >>> run_whole(chain(step), as_stack(torch.tensor([1.0, -4.0, 3.0, -2.0])), Facts(shape=(4,))).tolist()
        [0.0, -5.714285850524902, 4.285714149475098, 0.0]
    """

    def terms(stack: Stack, facts: Facts) -> Mapping[str, Tensor]:
        return {"before": stack.values.abs(), "after": step(stack, facts).values.abs()}

    sums = Sums(terms, by=by, scope=step.summary.scope if step.summary else Scope.TENSOR)
    summary: Summary = Sequel(step.summary, sums) if step.summary else sums

    def apply(stack: Stack, facts: Facts) -> Stack:
        found, norms = facts.summary if step.summary else (None, facts.summary)
        kept = step(stack, replace(facts, summary=found))
        return kept.but(kept.values * per_model(_ratios(norms, kept.models), kept.values))

    return Step(f"{step.name}+restore_l1", apply, summary, step.grain, step.parameters)


def _ratios(norms: Mapping[str, Sequence[float]], models: int) -> list[float]:
    ones = (0.0,) * models
    pairs = zip(norms.get("before", ones), norms.get("after", ones), strict=True)
    return [1.0 if min(before, after) < SMALL_NORM else before / after for before, after in pairs]


def _check_window(density: Shares, epsilon: Shares) -> None:
    rows = max(len(value) if isinstance(value, Sequence) else 1 for value in (density, epsilon))
    for row in range(rows):
        share, half = _of(density, row), _of(epsilon, row)
        if 0 < share < 1 and not (share - half > 0 and share + half < 1):
            raise BadParameter(
                "`density` and `epsilon` do not fit together.",
                got=f"density {share:g}, epsilon {half:g}: probabilities from {share - half:g} to {share + half:g}",
                want="0 < density - epsilon and density + epsilon < 1, or density 1",
            )


def _of(value: Shares, row: int) -> float:
    """The value of one model; the last one given where there are too few, which is refused when models are known."""
    return value[min(row, len(value) - 1)] if isinstance(value, Sequence) else value


def _pairs(stack: Stack, **values: Shares) -> list[tuple[float, ...]]:
    """The values of each model together."""
    return list(zip(*(spread(value, stack.models, name=name) for name, value in values.items()), strict=True))


def _counted(**values: Shares) -> Rows:
    """One row per model, once there is a value for each."""

    def rows(stack: Stack, facts: Facts) -> Tensor:
        _pairs(stack, **values)
        return each_model(stack, facts)

    return rows


def _all_kept(density: Shares) -> bool:
    return all(share >= 1 for share in (density if isinstance(density, Sequence) else [density]))
